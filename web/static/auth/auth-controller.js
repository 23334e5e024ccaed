/** Who is at this page: what says so, and the dialogs that belong to them. */

import { AccountDialog } from "./account-dialog.js";
import { HistoryDialog } from "../history/history-dialog.js";
import { Identity } from "./identity.js";
import { LoginDialog } from "./login-dialog.js";
import { SettingsDialog } from "./settings-dialog.js";

const NEWS = "mediaserver.news";

/** `page` is `{ notices, announce(text), current(), end() }`: the last two are of the conversation that is live here. */
export class AuthController {
  #page;
  #login;
  #buttons;

  constructor(page) {
    this.#page = page;
    this.identity = new Identity((...change) => this.#meet(...change));
    this.#buttons = Object.fromEntries(["login", "account", "settings", "history"].map((name) => [name, hook(name)]));
    this.#login = new LoginDialog(document.querySelector("#login"), this.identity, () => this.#welcome());
    const account = new AccountDialog(document.querySelector("#account"), this.identity, startAfresh);
    const settings = new SettingsDialog(document.querySelector("#settings"), this.identity, (error, dialog) =>
      this.#isRefused(error, dialog, () => settings.open()),
    );
    const history = new HistoryDialog(document.querySelector("#history"), this.identity, {
      refused: (error, dialog) => this.#isRefused(error, dialog, () => history.open()),
      deleted: (id) => id === page.current() && page.end(),
      current: page.current,
    });
    const dialogs = { login: this.#login, account, settings, history };
    for (const [name, dialog] of Object.entries(dialogs)) this.#buttons[name].addEventListener("click", () => dialog.open());
    this.#show();
    this.#tellNews();
  }

  /** Whether an error is that one has to log in; if so that is asked, and `then` is run after it. */
  mustLogIn(error, then) {
    if (!["GUESTS_NOT_ALLOWED", "LOGIN_EXPIRED"].includes(error.code)) return false;
    const ask = () => this.#login.open({ error, then });
    this.#page.notices.say(error, { action: { label: "Log in", run: ask } });
    ask();
    return true;
  }

  #isRefused(error, dialog, again) {
    const isRefused = this.mustLogIn(error, again);
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
