/** The one landmark finder of the page, loaded when it is first needed, and why it can't be had. */

import { CameraError } from "./camera.ts";
import { find } from "./element.ts";
import { browserAbilities, Landmarker } from "./landmarks.ts";
import { showTrouble } from "./messages.ts";
import { VideoError } from "./video_file.ts";

const abilities = browserAbilities();
let landmarker: Promise<Landmarker> | null = null;

export function getLandmarker(): Promise<Landmarker> {
  landmarker ??= Landmarker.load(abilities).catch((fault) => {
    forgetLandmarker();
    throw fault;
  });
  return landmarker;
}

/** After a failure: the next one who needs it loads it anew. */
export function forgetLandmarker(): void {
  landmarker?.then((old) => old.close()).catch(() => {}); // one that never loaded has nothing to close
  landmarker = null;
}

/** Whether landmarks can be found here; says so if not. */
export function canFindLandmarks(): boolean {
  if (abilities.lacks)
    showTrouble(`This browser lacks ${abilities.lacks}. Use a newer one, or turn hardware acceleration on; .pose files work here too.`);
  return !abilities.lacks;
}

/** What went wrong with the camera, a video or the landmarks of either, in words for the user. */
export function explain(fault: unknown): string {
  if (fault instanceof CameraError || fault instanceof VideoError) return fault.message;
  const reason = fault instanceof Error ? fault.message : String(fault);
  return `The landmarks can't be found in this browser (${reason}). Reload the page; else choose a .pose file.`;
}

export function warnIfSlow(): void {
  if (abilities.lacks || abilities.hasSimd) return;
  find("slow").hidden = false;
  find("slow").textContent = "This browser is without fast WebAssembly (SIMD), so landmarks are found slowly. A newer browser has it.";
}
