/** From a clip or a file to an entry of the history. */

import type { Clip } from "./clip.ts";
import { askForKey } from "./choices.ts";
import { addEntry, type Entry } from "./history.ts";
import { abortable, showTrouble, showWork, work } from "./messages.ts";
import { clearResult, endStatus, showResult } from "./result.ts";
import { packLandmarks, ServiceError, type Choice, type LiveTranslation, type Service, type Translation } from "./service.ts";

const TRIES = 4;
const USUAL_WAIT = 2; // seconds, where a busy service doesn't say
const LONGEST_WAIT = 120;
const BUSY = [429, 503];

export interface Request {
  choice: Choice;
  clip: Clip | null;
  source: string;
  /** What is sent: a file as it is; else the clip's landmarks. */
  file?: Blob;
  /** Where the clip went as it was signed. */
  live?: LiveTranslation;
}

/** Translate and show it; says so if it can't be done. */
export async function translate(service: Service, request: Request): Promise<void> {
  const again = { text: "Try again", act: () => void translate(service, { ...request, live: undefined }) };
  try {
    await work("Translating", async (signal) => {
      clearResult("Translating …");
      const translation = await ask(service, request, signal);
      const { choice, clip, source } = request;
      const entry: Entry = { translation, clip, source, model: choice.model.name, language: choice.language, time: new Date() };
      showResult(entry);
      addEntry(entry);
    });
  } catch (fault) {
    if (!(fault instanceof ServiceError)) throw fault;
    if (fault.status === 401) askForKey(fault.message, again.act);
    else showTrouble(fault.message, ...(isWorthTrying(fault) ? [again] : []));
  } finally {
    endStatus();
  }
}

const isWorthTrying = ({ status }: ServiceError) => status === 0 || status === 408 || status === 429 || status >= 500;

async function ask(service: Service, { live, file, clip, choice }: Request, signal: AbortSignal): Promise<Translation> {
  if (live) {
    try {
      return await abortable(live.end(), signal);
    } catch (fault) {
      if (!(fault instanceof ServiceError)) throw fault; // else the clip is posted: the same, only later
    }
  }
  const body = file ?? packLandmarks(clip!, choice.model);
  for (let left = TRIES; ; left--) {
    try {
      return await service.translate(body, choice, signal);
    } catch (fault) {
      const wait = fault instanceof ServiceError && BUSY.includes(fault.status) ? (fault.retryAfter ?? USUAL_WAIT) : null;
      if (left === 1 || wait === null || wait > LONGEST_WAIT) throw fault;
      await countDown(wait, signal);
    }
  }
}

async function countDown(seconds: number, signal: AbortSignal): Promise<void> {
  for (let left = seconds; left > 0; left--) {
    showWork(`The service is busy. Trying again in ${left} s`, seconds - left, seconds);
    await abortable(new Promise((resolve) => setTimeout(resolve, 1000)), signal);
  }
  showWork("Translating");
}
