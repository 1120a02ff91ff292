/** What keeps a signer from being understood: nobody in view, hands out of view, poor light. */

import { columnsOf, NUMBERS } from "./clip.ts";
import { BODY, HANDS, KEYPOINTS } from "./points.ts";

const SHOULDERS = columnsOf([`${BODY}.LEFT_SHOULDER`, `${BODY}.RIGHT_SHOULDER`], KEYPOINTS);
const WRISTS = columnsOf(HANDS.map((hand) => `${hand}.WRIST`), KEYPOINTS);
const VISIBLE = 0.5;
const RARELY = 0.2; // of the last frames
const DARK = 55; // mean brightness, of 255
const GLARING = 230;

export type Hint = "nobody" | "shoulders" | "hands" | "dark" | "glaring";

export const HINTS: Record<Hint, string> = {
  nobody: "Nobody is in view. Step in front of the camera.",
  shoulders: "Your shoulders are out of view. Move back a little.",
  hands: "Your hands are out of view. Move back, or lift them.",
  dark: "The light is poor. Turn on a lamp in front of you.",
  glaring: "The picture is too bright. Turn away from the window or the lamp.",
};

/** What to tell the signer, from the landmarks of the last second or so and the picture's brightness. */
export function findHints(frames: Float32Array[], brightness: number): Hint[] {
  const hints: Hint[] = [];
  const share = (isTrue: (frame: Float32Array) => boolean) => frames.filter(isTrue).length / frames.length;
  if (frames.length) {
    const confidence = (frame: Float32Array, point: number) => frame[point * NUMBERS + 3];
    const hasBody = (frame: Float32Array) => confidence(frame, SHOULDERS[0]) > 0 || confidence(frame, SHOULDERS[1]) > 0;
    const hasShoulders = (frame: Float32Array) => SHOULDERS.every((point) => confidence(frame, point) > VISIBLE);
    const hasHand = (frame: Float32Array) => WRISTS.some((point) => confidence(frame, point) > 0);
    if (share(hasBody) < RARELY) hints.push("nobody");
    else if (share(hasShoulders) < RARELY) hints.push("shoulders");
    else if (share(hasHand) < RARELY) hints.push("hands");
  }
  if (brightness < DARK) hints.push("dark");
  else if (brightness > GLARING) hints.push("glaring");
  return hints;
}

const small = document.createElement("canvas");
[small.width, small.height] = [32, 24];

/** Mean brightness of a picture, 0 to 255. */
export function measureBrightness(picture: CanvasImageSource): number {
  const brush = small.getContext("2d", { willReadFrequently: true })!;
  brush.drawImage(picture, 0, 0, small.width, small.height);
  const { data } = brush.getImageData(0, 0, small.width, small.height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
  return sum / (data.length / 4);
}
