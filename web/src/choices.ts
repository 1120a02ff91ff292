/** Which model and which language; what the service offers. */

import { find, languageTag, make } from "./element.ts";
import { hideTrouble, showTrouble } from "./messages.ts";
import { ServiceError, type Choice, type ModelList, type Service } from "./service.ts";

const form = find("choices");
const modelChoice = find<HTMLSelectElement>("model");
const languageChoice = find<HTMLSelectElement>("language");
const demo = find("demo");
const keyForm = find<HTMLFormElement>("key-form");
const keyField = find<HTMLInputElement>("key");
const RETRY_SECONDS = 5;

let offered: ModelList | null = null;
let whenAllowed: (() => void) | null = null;

export const limits = (): ModelList["limits"] | null => offered?.limits ?? null;

/** What is chosen; null, with a word to the user, while nothing can be. */
export function chosen(): Choice | null {
  const model = offered?.models.find(({ name }) => name === modelChoice.value);
  if (!model) {
    showTrouble(keyForm.hidden ? "The service hasn't answered yet, so nothing can be translated." : "The service needs a key first.");
    return null;
  }
  return { model, language: model.languages.length ? languageChoice.value : null };
}

/** Ask what models there are, again and again until the service answers. */
export async function loadChoices(service: Service): Promise<void> {
  try {
    offered = await service.models();
  } catch (fault) {
    if (!(fault instanceof ServiceError)) throw fault;
    if (fault.status === 401) askForKey(service.key ? fault.message : "");
    else retryLater(service, fault);
    return;
  }
  hideTrouble();
  keyForm.hidden = true;
  modelChoice.replaceChildren(...offered.models.map(({ name }) => make("option", { value: name, textContent: name })));
  modelChoice.value = offered.default;
  find("version").textContent = `signseq ${offered.version}.`;
  form.hidden = false;
  describe();
  const act = whenAllowed;
  whenAllowed = null;
  act?.();
}

function retryLater(service: Service, fault: ServiceError): void {
  const seconds = fault.retryAfter ?? RETRY_SECONDS;
  const timer = setTimeout(() => void loadChoices(service), seconds * 1000);
  const act = () => {
    clearTimeout(timer);
    void loadChoices(service);
  };
  showTrouble(`${fault.message} The page tries again in ${seconds} s.`, { text: "Try now", act });
}

/** Show the field for the key; `message` says why the last one wouldn't do, `act` is done once one does. */
export function askForKey(message: string, act = whenAllowed): void {
  whenAllowed = act;
  if (message) showTrouble(message);
  keyForm.hidden = false;
  keyField.focus();
}

function describe(): void {
  const model = offered?.models.find(({ name }) => name === modelChoice.value);
  if (!model) return;
  modelChoice.title = model.description;
  demo.hidden = !model.is_demo;
  demo.textContent =
    "This model is a demo: it was trained on a small composed corpus, to show how things work. " +
    "Don't expect it to understand real signing.";
  find("language-label").hidden = model.languages.length === 0;
  const languages = model.languages.map((code) => make("option", { value: code, textContent: languageName(code) }));
  languageChoice.replaceChildren(...languages.sort((a, b) => a.text.localeCompare(b.text)));
  languageChoice.value = model.language ?? model.languages[0] ?? "";
}

/** A code's name in the reader's language; codes of some models, as deu_Latn, are their own names. */
function languageName(code: string): string {
  try {
    return `${new Intl.DisplayNames(navigator.languages, { type: "language" }).of(languageTag(code))} (${code})`;
  } catch {
    return code;
  }
}

export function listenForKey(service: Service): void {
  modelChoice.onchange = describe;
  keyForm.onsubmit = (event) => {
    event.preventDefault();
    service.key = keyField.value.trim();
    void loadChoices(service);
  };
}
