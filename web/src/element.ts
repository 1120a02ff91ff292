/** Elements of the page, found by id or made. */

export function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as T;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  given: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), given);
  element.append(...children);
  return element;
}

/** A text whose direction follows its own letters. */
export const said = (text: string, className: string): HTMLParagraphElement =>
  make("p", { className, dir: "auto", textContent: text || "(no words)" });

/** A model's code of a language, as deu_Latn or en_XX, in the form that browsers know; empty where it has none. */
export function languageTag(code: string | null): string {
  try {
    return code ? (Intl.getCanonicalLocales(code.replace(/_XX$/, "").replaceAll("_", "-"))[0] ?? "") : "";
  } catch {
    return "";
  }
}

/** `name` says to screen readers what `text` alone doesn't. */
export function button(text: string, act: () => void, name = text): HTMLButtonElement {
  const made = make("button", { type: "button", className: "quiet", textContent: text, onclick: act });
  if (name !== text) made.setAttribute("aria-label", name);
  return made;
}

export function download(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
