/** What the page says: troubles, what it is working on, hints. */

import { button, find, make } from "./element.ts";

const trouble = find("trouble");
const working = find("working");
const workingText = find("working-text");
const progress = find<HTMLProgressElement>("progress");
const hints = find("hints");

export interface Remedy {
  text: string;
  act(): void;
}

/** Say what went wrong, with buttons for what can be done; it stays until something new is tried. */
export function showTrouble(message: string, ...remedies: Remedy[]): void {
  const act = (remedy: Remedy) => () => {
    hideTrouble();
    remedy.act();
  };
  find("trouble-buttons").replaceChildren(
    ...remedies.map((remedy) => button(remedy.text, act(remedy))),
    button("Dismiss", hideTrouble),
  );
  trouble.hidden = false;
  find("trouble-text").textContent = message;
}

export function hideTrouble(): void {
  trouble.hidden = true;
  find("trouble-text").textContent = "";
}

/** Hints to the signer, while they hold. */
export function showHints(texts: string[]): void {
  const shown = [...hints.children].map((item) => item.textContent);
  if (shown.join() === texts.join()) return; // or screen readers would say them again
  hints.replaceChildren(...texts.map((text) => make("li", { textContent: text })));
}

let current: AbortController | null = null;

export const isWorking = (): boolean => current !== null;
export const stopWorking = (): void => current?.abort();

/** Whether something new may begin; says so if not. */
export function isFree(): boolean {
  if (current) showTrouble("Still at work on the one before. Wait for it, or cancel it.");
  return !current;
}

/** The promise, unless the work is cancelled first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted(); // what was before doesn't tell again
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    promise.then(resolve, reject);
  });
}

/** Do one thing at a time, which can be cancelled; what it throws is passed on, except that it was cancelled. */
export async function work(text: string, task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  if (!isFree()) return;
  const controller = new AbortController();
  current = controller;
  showWork(text);
  working.hidden = false;
  try {
    await task(controller.signal);
  } catch (fault) {
    if (!controller.signal.aborted) throw fault;
  } finally {
    current = null;
    working.hidden = true;
  }
}

/** How far the work is; without numbers the bar only moves. */
export function showWork(text: string, done?: number, total?: number): void {
  workingText.textContent = text;
  if (done === undefined || total === undefined) progress.removeAttribute("value");
  else [progress.max, progress.value] = [total, done];
}

find("stop-working").onclick = stopWorking;
