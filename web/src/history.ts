/** What was translated since the page was opened; it is kept nowhere else. */

import type { Clip } from "./clip.ts";
import { button, download, find, make, said } from "./element.ts";
import { writePose } from "./pose_file.ts";
import type { Translation } from "./service.ts";

export interface Entry {
  translation: Translation;
  /** Null where a file could be translated but not drawn. */
  clip: Clip | null;
  source: string;
  model: string;
  language: string | null;
  time: Date;
}

const list = find("history");
const none = find("no-history");
const saveAll = find("save-all");
const clear = find("clear");
const MOST_BYTES = 256 * 2 ** 20; // of skeletons: a quarter of an hour at 30 pictures per second

let entries: Entry[] = [];
const buttonsOf = new WeakMap<Entry, HTMLElement>();
let replay: (clip: Clip) => void = () => {};

/** What the buttons that replay do. */
export function listenToHistory(act: (clip: Clip) => void): void {
  replay = act;
}

export function addEntry(entry: Entry): void {
  entries.unshift(entry);
  const item = make("li", {}, make("div", {}, said(entry.translation.text, "said"), make("p", { className: "soft" }, about(entry))));
  const drop = () => {
    entries = entries.filter((other) => other !== entry);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    update();
    (next?.querySelector("button") ?? find("file")).focus(); // or the keyboard's place is lost
  };
  const kept = make("span", { className: "buttons" }, ...entryButtons(entry));
  buttonsOf.set(entry, kept);
  item.append(make("div", { className: "buttons" }, kept, button("Remove", drop, `Remove “${short(entry)}”`)));
  list.prepend(item);
  letOldestGo();
  update();
}

/** A phone's memory is small: beyond a bound, the oldest entries keep their text alone. */
function letOldestGo(): void {
  let left = MOST_BYTES;
  for (const entry of entries) {
    left -= entry.clip ? entry.clip.frames.length * entry.clip.frames[0].byteLength : 0;
    if (left >= 0 || !entry.clip || entry === entries[0]) continue;
    entry.clip = null;
    buttonsOf.get(entry)?.replaceChildren("Too old to replay", ...entryButtons(entry));
  }
}

/** Buttons that replay or download a translation. */
export function entryButtons(entry: Entry): HTMLButtonElement[] {
  const { clip } = entry;
  const name = fileName(entry);
  const made = [button("Save text", () => download(textOf([entry]), `${name}.txt`), `Save text of “${short(entry)}”`)];
  if (!clip) return made;
  return [
    button("Replay", () => replay(clip), `Replay “${short(entry)}”`),
    button("Save .pose", () => download(writePose(clip), `${name}.pose`), `Save .pose of “${short(entry)}”`),
    ...made,
  ];
}

function update(): void {
  none.hidden = entries.length > 0;
  saveAll.hidden = clear.hidden = entries.length === 0;
}

const short = ({ translation: { text } }: Entry) => (text.length > 40 ? `${text.slice(0, 39)}…` : text) || "no words";

function about({ translation, source, model, language, time }: Entry): string {
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return [clock, source, `${translation.seconds.toFixed(1)} s`, language ? `${model} to ${language}` : model].join(" · ");
}

const fileName = ({ time }: Entry) => `signseq_${time.toISOString().slice(0, 19).replaceAll(":", "-")}`;

const textOf = (those: Entry[]) =>
  new Blob(those.map(({ translation }) => `${translation.text}\n`), { type: "text/plain;charset=utf-8" });

saveAll.onclick = () => download(textOf([...entries].reverse()), `${fileName(entries[0])}.txt`);
clear.onclick = () => {
  entries = [];
  list.replaceChildren();
  update();
  find("file").focus();
};
