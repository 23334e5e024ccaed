/** Earlier conversations: listed, read, downloaded, deleted. */

import { makeDismissible, confirmAction } from "../ui/dialog.js";
import { AppError } from "../errors.js";
import { showErrorIn } from "../ui/notices.js";
import { downloadFile, transcriptFileName, transcriptNodes, sessionSummary, transcriptText, sessionTitle, turnCount } from "./transcript-export.js";

const PATH = "/api/v1/sessions";
const PAGE = 20; // conversations asked for at once

/**
 * The dialog. `refused(error, dialog)` says whether an error is that one has to log in, and sees to it;
 * `deleted(id)` is told what is gone; `current()` is the id of the conversation on this page, or null.
 */
export class HistoryDialog {
  #dialog;
  #identity;
  #notify;
  #cursor = null;
  #shown = []; // the sessions in the list, in its order
  #visit = 0; // answers to what was asked before the dialog was opened anew are too late
  #reading = null; // the session that is open

  constructor(dialog, identity, notify) {
    this.#dialog = dialog;
    this.#identity = identity;
    this.#notify = notify;
    makeDismissible(dialog);
    this.#part(".more").addEventListener("click", () => this.#more());
    this.#part(".back").addEventListener("click", () => this.#back());
    this.#part(".again").addEventListener("click", () => this.#retry());
    this.#part(".reading .actions").append(...this.#filesOf(() => this.#reading), this.#deletionOf(() => this.#reading, "reading-delete"));
    dialog.addEventListener("cancel", (event) => {
      if (!this.#reading) return;
      event.preventDefault(); // Escape leads back to the list first
      this.#back();
    });
  }

  /** Show the newest conversations. */
  async open() {
    this.#visit += 1;
    this.#cursor = null;
    this.#shown = [];
    this.#reading = null;
    this.#part("ol").replaceChildren();
    this.#show("list");
    for (const part of [".none", ".more"]) this.#part(part).hidden = true;
    if (!this.#dialog.open) this.#dialog.showModal();
    await this.#load();
    if (this.#shown.length === 0 && !this.#part(".failure").textContent) this.#tellOfNone();
  }

  async #more() {
    const before = this.#shown.length;
    await this.#load();
    if (this.#shown.length === before) return;
    this.#announce(`${this.#shown.length} conversations are shown.`);
    if (this.#cursor === null) this.#part("ol").children[before].querySelector("button").focus();
  }

  async #load() {
    const visit = this.#visit;
    const query = new URLSearchParams({ limit: PAGE, ...(this.#cursor && { cursor: this.#cursor }) });
    const page = await this.#ask(() => this.#identity.call("GET", `${PATH}?${query}`));
    if (!page || visit !== this.#visit) return;
    this.#cursor = page.next_cursor;
    this.#shown.push(...page.sessions);
    this.#part("ol").append(...page.sessions.map((session) => this.#itemOf(session)));
    this.#part(".more").hidden = this.#cursor === null;
  }

  async #read(session) {
    const visit = this.#visit;
    const record = await this.#ask(() => this.#recordOf(session));
    if (!record || visit !== this.#visit) return;
    this.#reading = record.session;
    this.#part(".reading h3").textContent = sessionTitle(record.session);
    this.#part(".reading .summary").textContent = sessionSummary(record.session);
    this.#part(".record").replaceChildren(...transcriptNodes(record));
    this.#part(".reading .unsaid").hidden = record.entries.length > 0;
    this.#show("reading");
    this.#part(".reading").scrollTop = 0;
    this.#part(".reading h3").focus();
  }

  #back() {
    const { id } = this.#reading;
    this.#reading = null;
    this.#show("list");
    this.#focus(this.#shown.findIndex((session) => session.id === id));
  }

  async #save(session, ending) {
    const record = await this.#ask(() => this.#recordOf(session));
    if (!record) return;
    if (ending === "json") downloadFile(transcriptFileName(session, ending), "application/json", JSON.stringify(record, null, 2));
    else downloadFile(transcriptFileName(session, ending), "text/plain;charset=utf-8", transcriptText(record));
    this.#announce("The file is in your downloads.");
  }

  async #delete(session) {
    const live = session.ended_at === null ? " It is still going on and ends with that." : "";
    const text = `${sessionTitle(session)}, ${turnCount(session)}. What was said in it cannot be brought back.${live}`;
    if (!(await confirmAction({ title: "Delete this conversation?", text, label: "Delete" }))) return;
    const gone = await this.#ask(async () => {
      await this.#about(session, this.#identity.call("DELETE", `${PATH}/${encodeURIComponent(session.id)}`));
      return true;
    });
    if (gone) this.#forget(session);
  }

  #forget(session) {
    const index = this.#shown.findIndex((one) => one.id === session.id);
    this.#notify.deleted(session.id);
    this.#announce("The conversation is deleted.");
    this.#reading = null;
    this.#show("list");
    if (index < 0) return;
    this.#shown.splice(index, 1);
    this.#part("ol").children[index].remove();
    if (this.#shown.length === 0 && this.#cursor) this.#more();
    else if (this.#shown.length === 0) this.#tellOfNone();
    this.#focus(Math.min(index, this.#shown.length - 1));
  }

  #recordOf(session) {
    return this.#about(session, this.#identity.call("GET", `${PATH}/${encodeURIComponent(session.id)}/history`));
  }

  /** What is unknown by now was deleted elsewhere: it leaves the list. */
  async #about(session, answer) {
    try {
      return await answer;
    } catch (error) {
      if (error.code !== "SESSION_NOT_FOUND") throw error;
      this.#forget(session);
      throw new AppError("HISTORY_GONE");
    }
  }

  /** The answer, or null after what went wrong was said. */
  async #ask(question) {
    this.#part(".failure").replaceChildren();
    this.#part(".again").hidden = true;
    this.#dialog.ariaBusy = "true";
    try {
      return await question();
    } catch (error) {
      if (this.#notify.refused(error, this.#dialog)) return null;
      this.#fail(error.code === "HISTORY_UNAVAILABLE" ? new AppError("HISTORY_UNREADABLE", error) : error);
      return null;
    } finally {
      this.#dialog.ariaBusy = "false";
    }
  }

  #fail(error) {
    showErrorIn(this.#part(".failure"), error);
    this.#part(".again").hidden = this.#shown.length > 0;
  }

  #retry() {
    this.#part("h2").focus(); // the button is about to go
    this.open();
  }

  #tellOfNone() {
    const { historyDays } = document.body.dataset;
    const none = this.#part(".none");
    none.hidden = false;
    none.querySelector("strong").textContent = historyDays === "0" ? "This server keeps no conversations." : "No earlier conversations.";
    none.querySelector("span").textContent =
      historyDays === "0" ? "What is said is gone when a conversation ends." : "Once you have talked, you find here what was said.";
  }

  #itemOf(session) {
    const item = element("li");
    item.dataset.testid = "history-item";
    const title = element("span", "title", sessionTitle(session));
    const open = element("button", "open");
    open.type = "button";
    open.dataset.testid = "history-open";
    open.append(title, element("span", "summary", sessionSummary(session)));
    if (session.id === this.#notify.current()) title.append(" ", element("em", "here", "on this page"));
    else if (session.ended_at === null) title.append(" ", element("em", "here", "going on"));
    open.addEventListener("click", () => this.#read(session));
    const actions = element("div", "actions");
    actions.append(...this.#filesOf(() => session), this.#deletionOf(() => session, "history-delete"));
    item.append(open, actions);
    return item;
  }

  #filesOf(session) {
    const isInList = session() !== null;
    return ["txt", "json"].map((ending) => {
      const button = this.#action(ending === "txt" ? "Text" : "JSON", " file to download", session);
      button.dataset.testid = `${isInList ? "history" : "reading"}-download${ending === "txt" ? "" : "-json"}`;
      button.addEventListener("click", () => this.#save(session(), ending));
      return button;
    });
  }

  #deletionOf(session, hook) {
    const button = this.#action("Delete", "", session);
    button.classList.add("risky");
    button.dataset.testid = hook;
    button.addEventListener("click", () => this.#delete(session()));
    return button;
  }

  /** A button that says in full what it is about to those who do not see its place. */
  #action(label, rest, session) {
    const button = element("button", "small");
    button.type = "button";
    if (rest) button.append(icon("↓ "));
    button.append(label);
    const about = session() ? `: conversation of ${sessionTitle(session())}` : "";
    if (rest || about) button.append(element("span", "sr", `${rest}${about}`));
    return button;
  }

  #show(view) {
    this.#dialog.dataset.shows = view;
    this.#part(".listing").hidden = view !== "list";
    this.#part(".reading").hidden = view !== "reading";
    this.#part(".back").hidden = view !== "reading";
  }

  #focus(index) {
    const item = this.#part("ol").children[index];
    (item?.querySelector("button") ?? this.#part("h2")).focus();
  }

  #announce(text) {
    this.#part(".told").textContent = text;
  }

  #part(selector) {
    return this.#dialog.querySelector(selector);
  }
}

function element(name, className = "", text = "") {
  return Object.assign(document.createElement(name), { className, textContent: text });
}

function icon(sign) {
  const node = element("span", "", sign);
  node.ariaHidden = "true";
  return node;
}
