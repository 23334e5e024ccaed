// @ts-check
/** The dialog of earlier conversations: listed, read, downloaded, deleted. */

import { create, uiElement } from "../dom.js";
import { AppError, toAppError } from "../errors.js";
import { confirmAction, makeDismissible } from "../ui/dialog.js";
import { showErrorIn } from "../ui/notices.js";
import {
  downloadFile,
  sessionSummary,
  sessionTitle,
  transcriptFileName,
  transcriptNodes,
  transcriptText,
  turnCount,
} from "./transcript-export.js";

/** @import { Identity } from "../auth/identity.js" */
/** @import { StoredConversation, StoredSession } from "./transcript-export.js" */

/**
 * @typedef {object} HistoryCallbacks
 * @property {(error: AppError) => boolean} askToLogIn true when the error means that one has to log in
 * @property {(id: string) => void} onDeleted
 * @property {() => string | null} conversationId the id of the live conversation on this page
 */

const PATH = "/api/v1/sessions";
const PAGE_SIZE = 20; // conversations in one request

/** The history dialog: a list of conversations, or the transcript of one. */
export class HistoryDialog {
  #dialog = uiElement(document, "history-dialog", HTMLDialogElement);
  #title = uiElement(this.#dialog, "history-title");
  #backButton = uiElement(this.#dialog, "back");
  #failure = uiElement(this.#dialog, "history-error");
  #retryButton = uiElement(this.#dialog, "retry");
  #listing = uiElement(this.#dialog, "listing");
  #list = uiElement(this.#dialog, "conversation-list");
  #emptyNote = uiElement(this.#dialog, "history-empty");
  #moreButton = uiElement(this.#dialog, "load-more");
  #reading = uiElement(this.#dialog, "reading");
  #readingTitle = uiElement(this.#dialog, "reading-title");
  #identity;
  #callbacks;
  /** @type {string | null} */
  #cursor = null;
  /** @type {StoredSession[]} */
  #listed = []; // in the order of the list
  #visit = 0; // responses to requests from before the dialog was opened anew are dropped
  /** @type {StoredSession | null} */
  #opened = null; // the session whose transcript is shown

  /**
   * @param {Identity} identity
   * @param {HistoryCallbacks} callbacks
   */
  constructor(identity, callbacks) {
    this.#identity = identity;
    this.#callbacks = callbacks;
    makeDismissible(this.#dialog);
    this.#moreButton.addEventListener("click", () => this.#loadMore());
    this.#backButton.addEventListener("click", () => this.#back());
    this.#retryButton.addEventListener("click", () => this.#retry());
    this.#dialog.addEventListener("cancel", (event) => {
      if (!this.#opened) return;
      event.preventDefault(); // Escape goes back to the list first
      this.#back();
    });
  }

  /** Show the newest conversations. */
  async open() {
    this.#visit += 1;
    this.#cursor = null;
    this.#listed = [];
    this.#list.replaceChildren();
    this.#showList();
    this.#emptyNote.hidden = true;
    this.#moreButton.hidden = true;
    if (!this.#dialog.open) this.#dialog.showModal();
    await this.#load();
    if (this.#listed.length === 0 && !this.#failure.textContent) this.#showEmptyNote();
  }

  async #loadMore() {
    const before = this.#listed.length;
    await this.#load();
    if (this.#listed.length === before) return;
    this.#announce(`${this.#listed.length} conversations are shown.`);
    if (this.#cursor === null) this.#focusItem(before);
  }

  async #load() {
    const visit = this.#visit;
    const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(this.#cursor && { cursor: this.#cursor }) });
    const page = await this.#attempt(() => this.#identity.call("GET", `${PATH}?${query}`));
    if (!page || visit !== this.#visit) return;
    /** @type {StoredSession[]} */
    const sessions = page.sessions;
    this.#cursor = page.next_cursor;
    this.#listed.push(...sessions);
    this.#list.append(...sessions.map((session) => this.#listItem(session)));
    this.#moreButton.hidden = this.#cursor === null;
  }

  /** @param {StoredSession} session */
  async #read(session) {
    const visit = this.#visit;
    const conversation = await this.#attempt(() => this.#fetchConversation(session));
    if (!conversation || visit !== this.#visit) return;
    this.#opened = conversation.session;
    this.#readingTitle.textContent = sessionTitle(conversation.session);
    uiElement(this.#reading, "reading-summary").textContent = sessionSummary(conversation.session);
    uiElement(this.#reading, "reading-actions").replaceChildren(...this.#actions(conversation.session, "reading"));
    uiElement(this.#reading, "reading-entries").replaceChildren(...transcriptNodes(conversation));
    uiElement(this.#reading, "reading-empty").hidden = conversation.entries.length > 0;
    this.#show("reading");
    this.#reading.scrollTop = 0;
    this.#readingTitle.focus();
  }

  #back() {
    const index = this.#listed.findIndex((session) => session.id === this.#opened?.id);
    this.#showList();
    this.#focusItem(index);
  }

  /**
   * @param {StoredSession} session
   * @param {"txt" | "json"} extension
   */
  async #download(session, extension) {
    const conversation = await this.#attempt(() => this.#fetchConversation(session));
    if (!conversation) return;
    const name = transcriptFileName(session, extension);
    if (extension === "json") downloadFile(name, "application/json", JSON.stringify(conversation, null, 2));
    else downloadFile(name, "text/plain;charset=utf-8", transcriptText(conversation));
    this.#announce("The file is in your downloads.");
  }

  /** @param {StoredSession} session */
  async #delete(session) {
    const live = session.ended_at === null ? " It is still going on and ends with that." : "";
    const text = `${sessionTitle(session)}, ${turnCount(session)}. What was said in it cannot be brought back.${live}`;
    if (!(await confirmAction({ title: "Delete this conversation?", text, label: "Delete" }))) return;
    const isDeleted = await this.#attempt(async () => {
      await this.#orForget(session, this.#identity.call("DELETE", `${PATH}/${encodeURIComponent(session.id)}`));
      return true;
    });
    if (isDeleted) this.#forget(session);
  }

  /**
   * Remove a session from the list, because it does not exist any more.
   * @param {StoredSession} session
   */
  #forget(session) {
    const index = this.#listed.findIndex((one) => one.id === session.id);
    this.#callbacks.onDeleted(session.id);
    this.#announce("The conversation is deleted.");
    this.#showList();
    if (index < 0) return;
    this.#listed.splice(index, 1);
    this.#list.children[index].remove();
    if (this.#listed.length === 0 && this.#cursor) this.#loadMore();
    else if (this.#listed.length === 0) this.#showEmptyNote();
    this.#focusItem(Math.min(index, this.#listed.length - 1));
  }

  /**
   * @param {StoredSession} session
   * @returns {Promise<StoredConversation>}
   */
  #fetchConversation(session) {
    return this.#orForget(session, this.#identity.call("GET", `${PATH}/${encodeURIComponent(session.id)}/history`));
  }

  /**
   * The response about a session; if it was deleted elsewhere, it leaves the list and HISTORY_GONE is raised.
   * @template T
   * @param {StoredSession} session
   * @param {Promise<T>} response
   */
  async #orForget(session, response) {
    try {
      return await response;
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== "SESSION_NOT_FOUND") throw error;
      this.#forget(session);
      throw new AppError("HISTORY_GONE");
    }
  }

  /**
   * The response, or null after its error was shown.
   * @template T
   * @param {() => Promise<T>} send
   * @returns {Promise<T | null>}
   */
  async #attempt(send) {
    this.#failure.replaceChildren();
    this.#retryButton.hidden = true;
    this.#dialog.ariaBusy = "true";
    try {
      return await send();
    } catch (thrown) {
      const error = toAppError(thrown);
      if (this.#callbacks.askToLogIn(error)) this.#dialog.close();
      else this.#showError(error);
      return null;
    } finally {
      this.#dialog.ariaBusy = "false";
    }
  }

  /** @param {AppError} error */
  #showError(error) {
    const { code, retryAfter } = error;
    showErrorIn(this.#failure, code === "HISTORY_UNAVAILABLE" ? new AppError("HISTORY_UNREADABLE", { retryAfter }) : error);
    this.#retryButton.hidden = this.#listed.length > 0;
  }

  #retry() {
    this.#title.focus(); // the button is about to go
    this.open();
  }

  #showEmptyNote() {
    const isOff = document.body.dataset.historyDays === "0";
    this.#emptyNote.hidden = false;
    uiElement(this.#emptyNote, "empty-title").textContent = isOff ? "This server keeps no conversations." : "No earlier conversations.";
    uiElement(this.#emptyNote, "empty-text").textContent =
      isOff ? "What is said is gone when a conversation ends." : "Once you have talked, you find here what was said.";
  }

  /** @param {StoredSession} session */
  #listItem(session) {
    const title = create("span", { className: "title" }, sessionTitle(session));
    const note = this.#liveNote(session);
    if (note) title.append(" ", create("em", { className: "here" }, note));
    const summary = create("span", { className: "summary" }, sessionSummary(session));
    const open = create("button", { className: "open", type: "button" }, title, summary);
    open.dataset.testid = "history-open";
    open.addEventListener("click", () => this.#read(session));
    const actions = create("div", { className: "actions" }, ...this.#actions(session, "history"));
    const item = create("li", {}, open, actions);
    item.dataset.testid = "history-item";
    return item;
  }

  /** @param {StoredSession} session */
  #liveNote({ id, ended_at }) {
    if (id === this.#callbacks.conversationId()) return "on this page";
    return ended_at === null ? "going on" : "";
  }

  /**
   * The buttons to download and delete a session, in its list item or above its transcript.
   * @param {StoredSession} session
   * @param {"history" | "reading"} place
   */
  #actions(session, place) {
    // In the list, a screen reader needs the conversation in each button's name.
    const about = place === "history" ? `: conversation of ${sessionTitle(session)}` : "";
    const arrow = () => create("span", { ariaHidden: "true" }, "↓ ");
    const text = actionButton(`${place}-download`, [arrow(), "Text"], ` file to download${about}`);
    const json = actionButton(`${place}-download-json`, [arrow(), "JSON"], ` file to download${about}`);
    const remove = actionButton(`${place}-delete`, ["Delete"], about);
    remove.classList.add("risky");
    text.addEventListener("click", () => this.#download(session, "txt"));
    json.addEventListener("click", () => this.#download(session, "json"));
    remove.addEventListener("click", () => this.#delete(session));
    return [text, json, remove];
  }

  #showList() {
    this.#opened = null;
    this.#show("list");
  }

  /** @param {"list" | "reading"} view */
  #show(view) {
    this.#dialog.dataset.shows = view;
    this.#listing.hidden = view !== "list";
    this.#reading.hidden = view !== "reading";
    this.#backButton.hidden = view !== "reading";
  }

  /** @param {number} index of a list item; the title gets the focus where there is none */
  #focusItem(index) {
    const button = this.#list.children[index]?.querySelector("button");
    (button ?? this.#title).focus();
  }

  /** @param {string} text */
  #announce(text) {
    uiElement(this.#dialog, "history-status").textContent = text;
  }
}

/**
 * @param {string} testid
 * @param {(Node | string)[]} label
 * @param {string} hiddenLabel the rest of its name, for screen readers
 */
function actionButton(testid, label, hiddenLabel) {
  const button = create("button", { className: "small", type: "button" }, ...label);
  if (hiddenLabel) button.append(create("span", { className: "sr" }, hiddenLabel));
  button.dataset.testid = testid;
  return button;
}
