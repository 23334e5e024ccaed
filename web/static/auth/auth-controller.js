// @ts-check
/** Sign-in state of the page, and the dialogs of the signed-in person. */

import { uiElement } from "../dom.js";
import { HistoryDialog } from "../history/history-dialog.js";
import { AccountDialog } from "./account-dialog.js";
import { Identity } from "./identity.js";
import { LoginDialog } from "./login-dialog.js";
import { SettingsDialog } from "./settings-dialog.js";

/** @import { AppError } from "../errors.js" */
/** @import { Notices } from "../ui/notices.js" */
/** @import { User } from "./tokens.js" */

/**
 * The parts of the page that signing in and out concerns.
 * @typedef {object} PageContext
 * @property {Notices} notices
 * @property {(text: string) => void} announce a text for screen readers to speak
 * @property {() => string | null} conversationId the id of the live conversation
 * @property {() => void} endConversation
 */

const FLASH_MESSAGE = "mediaserver.flash-message";

/** Owns the identity, its buttons in the header and its dialogs. */
export class AuthController {
  #page;
  #loginDialog;
  #loginButton = uiElement(document, "open-login");
  #accountButton = uiElement(document, "open-account");

  /** @param {PageContext} page */
  constructor(page) {
    this.#page = page;
    this.identity = new Identity((...change) => this.#onUserChange(...change));
    this.#loginDialog = new LoginDialog(this.identity, () => this.#onLogin());
    const account = new AccountDialog(this.identity, reloadPage);
    const settings = new SettingsDialog(this.identity, (error) => this.askToLogIn(error, () => settings.open()));
    const history = new HistoryDialog(this.identity, {
      askToLogIn: (error) => this.askToLogIn(error, () => history.open()),
      onDeleted: (id) => {
        if (id === page.conversationId()) page.endConversation();
      },
      conversationId: page.conversationId,
    });
    this.#loginButton.addEventListener("click", () => this.#loginDialog.open());
    this.#accountButton.addEventListener("click", () => account.open());
    uiElement(document, "open-settings").addEventListener("click", () => settings.open());
    uiElement(document, "open-history").addEventListener("click", () => history.open());
    this.#render();
    this.#showFlashMessage();
  }

  /**
   * If an error means that one has to log in, ask for it, run `retry` after it, and return true.
   * @param {AppError} error
   * @param {() => void} retry
   */
  askToLogIn(error, retry) {
    if (!["GUESTS_NOT_ALLOWED", "LOGIN_EXPIRED"].includes(error.code)) return false;
    const open = () => this.#loginDialog.open({ error, onSuccess: retry });
    this.#page.notices.showError(error, { action: { label: "Log in", run: open } });
    open();
    return true;
  }

  /**
   * @param {User | null} user
   * @param {User | null} previous
   * @param {boolean} isFromOtherTab
   */
  #onUserChange(user, previous, isFromOtherTab) {
    this.#render();
    const hasLeft = previous && !previous.guest && previous.id !== user?.id;
    if (hasLeft && isFromOtherTab) reloadPage("You were logged out on another page.");
  }

  #render() {
    const { isLoggedIn, user } = this.identity;
    this.#loginButton.hidden = isLoggedIn;
    this.#accountButton.hidden = !isLoggedIn;
    uiElement(this.#accountButton, "username").textContent = user?.username ?? "";
  }

  #onLogin() {
    this.#accountButton.focus();
    for (const code of ["GUESTS_NOT_ALLOWED", "LOGIN_EXPIRED"]) this.#page.notices.remove(code);
    this.#page.notices.removeMessage();
    const live = this.#page.conversationId() ? " This conversation goes on as it began; your next one is your account’s." : "";
    this.#page.announce(`Logged in as ${this.identity.user?.username}.${live}`);
  }

  #showFlashMessage() {
    try {
      const flashMessage = sessionStorage.getItem(FLASH_MESSAGE);
      sessionStorage.removeItem(FLASH_MESSAGE);
      if (flashMessage) this.#page.notices.showMessage(flashMessage);
    } catch {
      // Storage is switched off: there is no message.
    }
  }
}

/**
 * Reload, so that nothing of the person who left stays on the page: neither transcript nor pictures of their screen.
 * @param {string} flashMessage shown after the reload
 */
function reloadPage(flashMessage) {
  try {
    sessionStorage.setItem(FLASH_MESSAGE, flashMessage);
  } catch {
    // Storage is switched off: the page reloads without the message.
  }
  location.reload();
}
