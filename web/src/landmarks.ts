/** Landmarks of pictures, found in this browser by a worker. */

export type ToWorker =
  | { type: "start"; onCpu: boolean }
  | { type: "reset" }
  | { type: "find"; image: ImageBitmap; milliseconds: number };
export type FromWorker =
  | { type: "ready" }
  | { type: "found"; values: Float32Array<ArrayBuffer> }
  | { type: "failed"; message: string };

declare const LANDMARK_WORKER: string; // its address, by build.mjs

// A module with one SIMD instruction: whoever validates it has SIMD.
const SIMD = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11,
]);
const IOS = /iPad|iPhone|iPod/;
const SOFTWARE = /swiftshader|llvmpipe|software|basic render/i;

export interface Abilities {
  /** Why landmarks can't be found here, in words; empty where they can. */
  lacks: string;
  hasSimd: boolean;
  /** Whether the processor is the better choice than the graphics card. */
  prefersCpu: boolean;
}

export function browserAbilities(): Abilities {
  const hasSimd = typeof WebAssembly === "object" && WebAssembly.validate(SIMD);
  const renderer = typeof OffscreenCanvas === "function" ? rendererName() : null;
  let lacks = "";
  if (typeof WebAssembly !== "object") lacks = "WebAssembly, which finds the landmarks";
  else if (renderer === null) lacks = "WebGL 2 in workers, which the landmarks are found with";
  else if (!("requestVideoFrameCallback" in HTMLVideoElement.prototype)) lacks = "requestVideoFrameCallback, which tells a video's pictures apart";
  // MediaPipe's own rule for phones of Apple's; elsewhere a graphics card that is only imitated is far slower.
  const isApplePhone = IOS.test(navigator.userAgent) || (/Mac/.test(navigator.userAgent) && navigator.maxTouchPoints > 1);
  return { lacks, hasSimd, prefersCpu: isApplePhone || SOFTWARE.test(renderer ?? "") };
}

/** What draws WebGL here; null if there is none. */
function rendererName(): string | null {
  const gl = new OffscreenCanvas(1, 1).getContext("webgl2");
  if (!gl) return null;
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  gl.getExtension("WEBGL_lose_context")?.loseContext();
  return String(name);
}

/** One picture after the other; the worker smooths over time, so they must be of one person and in order. */
export class Landmarker {
  private waiting: { resolve(message: FromWorker): void; reject(fault: Error): void } | null = null;
  private last: Promise<unknown> = Promise.resolve();
  private newest = 0;

  private constructor(private worker: Worker) {
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.settle(data);
    worker.onerror = (event) => this.settle({ type: "failed", message: event.message || "its files can't be loaded" });
  }

  static async load(abilities: Abilities): Promise<Landmarker> {
    const landmarker = new Landmarker(new Worker(new URL(LANDMARK_WORKER, document.baseURI)));
    try {
      await landmarker.ask({ type: "start", onCpu: abilities.prefersCpu });
    } catch (fault) {
      landmarker.worker.terminate();
      throw fault;
    }
    return landmarker;
  }

  /** Forget the person that was followed. */
  reset(): void {
    void this.after(async () => this.worker.postMessage({ type: "reset" } satisfies ToWorker));
  }

  /** Landmarks of the next picture, K x (x, y, z, confidence) in its pixels. */
  find(image: ImageBitmap, step: number): Promise<Float32Array> {
    return this.after(async () => {
      this.newest += Math.max(step, 1); // times must grow, also from one video to the next
      const answer = await this.ask({ type: "find", image, milliseconds: this.newest }, [image]);
      if (answer.type !== "found") throw new Error(`the worker answered ${answer.type}`);
      return answer.values;
    });
  }

  close(): void {
    this.worker.terminate();
  }

  private after<T>(work: () => Promise<T>): Promise<T> {
    const next = this.last.then(work, work);
    this.last = next.catch(() => undefined);
    return next;
  }

  private ask(message: ToWorker, transfer: Transferable[] = []): Promise<FromWorker> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      this.worker.postMessage(message, transfer);
    });
  }

  private settle(message: FromWorker): void {
    const waiting = this.waiting;
    this.waiting = null;
    if (message.type === "failed") waiting?.reject(new Error(message.message));
    else waiting?.resolve(message);
  }
}
