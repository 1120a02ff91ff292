/** The translation at the right: as it grows, and when it is there. */

import { find, languageTag, make } from "./element.ts";
import { entryButtons, type Entry } from "./history.ts";

const partial = find("partial");
const text = find("text");
const status = find("status");
const placeholder = find("placeholder");
const warnings = find("warnings");
const others = find("n-best");
const buttons = find("result-buttons");

/** What is understood so far; it may change until the end, so screen readers hear only the end. */
export function showPartial(words: string): void {
  partial.textContent = words ? `${words} …` : "";
  const isNew = partial.hidden && words;
  partial.hidden = !words;
  if (isNew) partial.scrollIntoView({ block: "nearest" }); // on a phone it stands below the camera
}

/** Make room for the next translation. */
export function clearResult(message: string): void {
  showPartial("");
  text.textContent = "";
  placeholder.hidden = true;
  status.textContent = message;
  warnings.replaceChildren();
  others.hidden = buttons.hidden = true;
}

export function showResult(entry: Entry): void {
  const { translation } = entry;
  const lang = languageTag(entry.language);
  clearResult(translation.text ? "" : "The model found no words in this clip.");
  text.lang = lang;
  text.textContent = translation.text;
  text.scrollIntoView({ block: "nearest" });
  warnings.replaceChildren(...translation.warnings.map((warning) => make("p", { textContent: warning })));
  buttons.replaceChildren(...entryButtons(entry));
  buttons.hidden = false;
  others.hidden = translation.n_best.length < 2;
  find("hypotheses").replaceChildren(
    ...translation.n_best.map((hypothesis) =>
      make(
        "li",
        {},
        make("span", { dir: "auto", lang, textContent: hypothesis.text }),
        make("span", { className: "score", textContent: hypothesis.score.toFixed(2), title: "Log probability per token: the nearer to 0, the surer" }),
      ),
    ),
  );
}

export const endStatus = (): void => {
  status.textContent = "";
  placeholder.hidden = Boolean(text.textContent);
};
