/**
 * Finds landmarks in a worker, so that the page never stands still: MediaPipe Holistic, of our own server.
 *
 * MediaPipe's package expects a page. Of a page's things it uses two, canvases and script elements, which
 * stand below; the rest of it runs in a worker as it is.
 */

import { NUMBERS } from "./clip.ts";
import { KEYPOINTS, BODY_POINTS, HAND_POINTS } from "./points.ts";
import type { FromWorker, ToWorker } from "./landmarks.ts";

interface Point {
  x: number;
  y: number;
  z: number;
  visibility?: number;
}

interface Results {
  poseLandmarks?: Point[];
  faceLandmarks?: Point[];
  leftHandLandmarks?: Point[];
  rightHandLandmarks?: Point[];
  za?: Point[]; // the body in metres; the package's minifier renamed it, and the lock file pins the package
}

interface Solution {
  send(inputs: { image: ImageBitmap }, milliseconds: number): Promise<void>;
}

interface Holistic {
  setOptions(options: Record<string, unknown>): void;
  onResults(listener: (results: Results) => void): void;
  initialize(): Promise<void>;
  reset(): void;
}

declare const self: {
  window: unknown;
  document: unknown;
  Holistic: new (config: { locateFile(name: string): string }) => Holistic;
  Solution: new () => Solution;
  onmessage: (event: MessageEvent<ToWorker>) => void;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
};
declare function importScripts(address: string): void;

const FOLDER = new URL("../mediapipe/", location.href).href;
const FACE_POINTS = 468;

self.window = self;
self.document = {
  createElement: (kind: string) => (kind === "canvas" ? new OffscreenCanvas(1, 1) : new ScriptElement()),
  body: { appendChild: (script: ScriptElement) => script.load() },
  addEventListener() {},
  removeEventListener() {},
};

class ScriptElement extends EventTarget {
  private src = "";

  setAttribute(name: string, value: string): void {
    if (name === "src") this.src = value;
  }

  load(): void {
    importScripts(this.src);
    this.dispatchEvent(new Event("load"));
  }
}

let holistic: Holistic;
let solution: Solution;
let results: Results;

async function start(onCpu: boolean): Promise<void> {
  importScripts(`${FOLDER}holistic.js`);
  holistic = new self.Holistic({ locateFile: (name) => FOLDER + name });
  // As `signseq pose` has it; what isn't named here has the same default there.
  holistic.setOptions({ modelComplexity: 1, useCpuInference: onCpu });
  holistic.onResults((found) => (results = found));
  await holistic.initialize();
  // The public send() takes the time of day; the one beneath it takes the picture's.
  const inner = Object.values(holistic).find((value) => value instanceof self.Solution);
  if (!inner) throw new Error("@mediapipe/holistic has changed: it holds no Solution");
  solution = inner as Solution;
}

async function find(image: ImageBitmap, milliseconds: number): Promise<Float32Array<ArrayBuffer>> {
  const { width, height } = image;
  results = {};
  await solution.send({ image }, milliseconds);
  image.close();
  const values = new Float32Array(KEYPOINTS.length * NUMBERS);
  let at = 0;
  const add = (points: Point[] | undefined, count: number, hasVisibility = false) => {
    points?.slice(0, count).forEach((point, i) => {
      // z stays as it is, as in the poses that models are trained on.
      const numbers = [point.x * width, point.y * height, point.z, hasVisibility ? (point.visibility ?? 0) : 1];
      values.set(numbers, (at + i) * NUMBERS);
    });
    at += count;
  };
  add(results.poseLandmarks, BODY_POINTS.length, true);
  add(results.faceLandmarks, FACE_POINTS);
  add(results.leftHandLandmarks, HAND_POINTS.length);
  add(results.rightHandLandmarks, HAND_POINTS.length);
  add(results.za, BODY_POINTS.length, true);
  return values;
}

self.onmessage = async ({ data }) => {
  try {
    if (data.type === "start") {
      await start(data.onCpu);
      self.postMessage({ type: "ready" });
    } else if (data.type === "reset") {
      holistic.reset();
    } else {
      const values = await find(data.image, data.milliseconds);
      self.postMessage({ type: "found", values }, [values.buffer]);
    }
  } catch (fault) {
    self.postMessage({ type: "failed", message: String(fault) });
  }
};
