/** Who is at this page: what says so, and the dialogs that belong to them. */

import { Account } from "./account-dialog.js";
import { History } from "../history/history-dialog.js";
import { Identity } from "./identity.js";
import { Login } from "./login-dialog.js";
import { Preferences } from "./settings-dialog.js";

const NEWS = "mediaserver.news";

/** `page` is `{ notices, announce(text), current(), end() }`: the last two are of the conversation that is live here. */
export class Visitor {
  #page;
  #login;
  #buttons;

  constructor(page) {
    this.#page = page;
    this.identity = new Identity((...change) => this.#meet(...change));
    this.#buttons = Object.fromEntries(["login", "account", "settings", "history"].map((name) => [name, hook(name)]));
    this.#login = new Login(document.querySelector("#login"), this.identity, () => this.#welcome());
    const account = new Account(document.querySelector("#account"), this.identity, startAfresh);
    const settings = new Preferences(document.querySelector("#settings"), this.identity, (trouble, dialog) =>
      this.#isRefused(trouble, dialog, () => settings.open()),
    );
    const history = new History(document.querySelector("#history"), this.identity, {
      refused: (trouble, dialog) => this.#isRefused(trouble, dialog, () => history.open()),
      deleted: (id) => id === page.current() && page.end(),
      current: page.current,
    });
    const dialogs = { login: this.#login, account, settings, history };
    for (const [name, dialog] of Object.entries(dialogs)) this.#buttons[name].addEventListener("click", () => dialog.open());
    this.#show();
    this.#tellNews();
  }

  /** Whether a trouble is that one has to log in; if so that is asked, and `then` is run after it. */
  mustLogIn(trouble, then) {
    if (!["GUESTS_NOT_ALLOWED", "LOGIN_EXPIRED"].includes(trouble.code)) return false;
    const ask = () => this.#login.open({ trouble, then });
    this.#page.notices.say(trouble, { action: { label: "Log in", run: ask } });
    ask();
    return true;
  }

  #isRefused(trouble, dialog, again) {
    const isRefused = this.mustLogIn(trouble, again);
    if (isRefused) dialog.close();
    return isRefused;
  }

  #meet(user, previous, isElsewhere) {
    this.#show();
    const hasLeft = previous && !previous.guest && previous.id !== user?.id;
    if (hasLeft && isElsewhere) startAfresh("You were logged out on another page.");
  }

  #show() {
    const { login, account } = this.#buttons;
    const { isLoggedIn, user } = this.identity;
    login.hidden = isLoggedIn;
    account.hidden = !isLoggedIn;
    account.querySelector(".username").textContent = user?.username ?? "";
  }

  #welcome() {
    this.#buttons.account.focus();
    for (const code of ["GUESTS_NOT_ALLOWED", "LOGIN_EXPIRED", "NEWS"]) this.#page.notices.drop(code);
    const live = this.#page.current() ? " This conversation goes on as it began; your next one is your account’s." : "";
    this.#page.announce(`Logged in as ${this.identity.user.username}.${live}`);
  }

  #tellNews() {
    try {
      const news = sessionStorage.getItem(NEWS);
      sessionStorage.removeItem(NEWS);
      if (news) this.#page.notices.tell(news);
    } catch {
      // Storage is switched off: there are none.
    }
  }
}

/** Nothing of the person who left may stay on the page: not what was said, nor a picture of their screen. */
function startAfresh(news) {
  try {
    sessionStorage.setItem(NEWS, news);
  } catch {
    // Storage is switched off: the page then says nothing of it.
  }
  location.reload();
}

function hook(name) {
  return document.querySelector(`[data-testid="${name}"]`);
}
