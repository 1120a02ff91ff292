/** The service behind the page: HTTP and WebSocket. */

import { columnsOf, selectPoints, type Clip } from "./clip.ts";

export interface Model {
  name: string;
  description: string;
  is_demo: boolean;
  keypoints: string[];
  fps: number | null;
  max_seconds: number;
  languages: string[];
  language: string | null;
  max_n_best: number;
}

export interface ModelList {
  default: string;
  models: Model[];
  limits: { upload_mb: number; seconds: number; video: boolean };
  needs_key: boolean;
  version: string;
}

export interface Hypothesis {
  text: string;
  score: number;
}

export interface Translation extends Hypothesis {
  seconds: number;
  n_best: Hypothesis[];
  warnings: string[];
}

export interface Choice {
  model: Model;
  language: string | null;
}

/** An answer that is none, in the service's own words. `status` is 0 where nothing answered. */
export class ServiceError extends Error {
  constructor(message: string, readonly status: number, readonly retryAfter: number | null = null) {
    super(message);
  }
}

const N_BEST = 3;
const ESTIMATOR = "mediapipe_holistic";
const MAGIC = "SGQ1";
const LANDMARKS = "application/vnd.signseq.landmarks";
const PARTIAL_SECONDS = 1;
const FINAL_SECONDS = 30; // how long the last word of the socket is waited for

export class Service {
  key = "";

  models(): Promise<ModelList> {
    return this.ask("v1/model", {});
  }

  translate(body: Blob, choice: Choice, signal: AbortSignal): Promise<Translation> {
    const settings = new URLSearchParams({ model: choice.model.name, n_best: String(wanted(choice.model)) });
    if (choice.language) settings.set("language", choice.language);
    const type = body.type === LANDMARKS ? LANDMARKS : "application/octet-stream";
    return this.ask(`v1/translate?${settings}`, { method: "POST", body, signal, headers: { "Content-Type": type } });
  }

  private async ask<T>(path: string, request: RequestInit): Promise<T> {
    const headers = new Headers(request.headers);
    if (this.key) headers.set("Authorization", `Bearer ${this.key}`);
    let answer: Response;
    try {
      answer = await fetch(new URL(path, document.baseURI), { ...request, headers });
    } catch (fault) {
      if (request.signal?.aborted) throw fault;
      throw new ServiceError("The service doesn't answer. Is it running, and is this machine online?", 0);
    }
    const told = await answer.json().catch(() => null);
    if (answer.ok && told) return told as T;
    const message = told?.error?.message ?? `The service answered ${answer.status} without saying why.`;
    throw new ServiceError(message, answer.status, secondsToWait(answer.headers.get("Retry-After")));
  }
}

const wanted = (model: Model) => Math.max(1, Math.min(N_BEST, model.max_n_best));

function secondsToWait(header: string | null): number | null {
  if (header === null) return null;
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

/** A clip as the service reads it: a header in JSON, then the frames' times and points. */
export function packLandmarks(clip: Clip, model: Model): Blob {
  const columns = columnsOf(model.keypoints, clip.keypoints);
  const given = { fps: clip.fps, keypoints: model.keypoints, frames: clip.frames.length, times: true, estimator: ESTIMATOR };
  const header = new TextEncoder().encode(JSON.stringify(given));
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, header.length, true);
  const frames = clip.frames.map((frame, i) => packFrame(clip.times[i], selectPoints(frame, columns)));
  return new Blob([MAGIC, length, header, ...frames], { type: LANDMARKS });
}

/** float32, little endian as every machine with a browser is. */
function packFrame(time: number, points: Float32Array): Float32Array<ArrayBuffer> {
  const packed = new Float32Array(points.length + 1);
  packed[0] = time;
  packed.set(points, 1);
  return packed;
}

/** One clip that is translated while it is signed. Whatever goes wrong, `end` rejects, and the clip can be posted. */
export class LiveTranslation {
  private socket: WebSocket;
  private isReady = false;
  private early: Float32Array<ArrayBuffer>[] = [];
  private final: Promise<Translation>;
  private fail: (fault: Error) => void = () => {};

  constructor(choice: Choice, service: Service, onPartial: (text: string) => void) {
    const address = new URL("v1/stream", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.final = new Promise((resolve, reject) => {
      this.fail = reject;
      this.socket.onopen = () =>
        this.tell({
          type: "start",
          model: choice.model.name,
          n_best: wanted(choice.model),
          keypoints: choice.model.keypoints,
          estimator: ESTIMATOR,
          partial_seconds: PARTIAL_SECONDS,
          ...(choice.language ? { language: choice.language } : {}),
          ...(service.key ? { key: service.key } : {}),
        });
      this.socket.onmessage = ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === "ready") this.becomeReady();
        else if (message.type === "partial") onPartial(message.text);
        else if (message.type === "final") resolve(message);
        else if (message.type === "error") reject(new ServiceError(message.message, 0));
      };
      this.socket.onclose = () => reject(new ServiceError("The connection to the service broke off.", 0));
    });
    this.final.catch(() => {}).finally(() => this.socket.close()); // `end` is where a fault is heard of
  }

  send(time: number, points: Float32Array): void {
    const packed = packFrame(time, points);
    if (!this.isReady) this.early.push(packed);
    else if (this.socket.readyState === WebSocket.OPEN) this.socket.send(packed);
  }

  end(): Promise<Translation> {
    // Still not ready: then it is no use to wait, since the clip can be posted.
    if (!this.isReady) this.fail(new ServiceError("The socket never became ready.", 0));
    else if (this.socket.readyState === WebSocket.OPEN) this.tell({ type: "end" });
    setTimeout(() => this.fail(new ServiceError("The socket gave no answer.", 0)), FINAL_SECONDS * 1000);
    return this.final;
  }

  cancel(): void {
    if (this.socket.readyState === WebSocket.OPEN) this.tell({ type: "cancel" });
    this.fail(new ServiceError("The recording was dropped.", 0));
  }

  private becomeReady(): void {
    this.isReady = true;
    this.early.forEach((packed) => this.socket.send(packed));
    this.early = [];
  }

  private tell(message: object): void {
    this.socket.send(JSON.stringify(message));
  }
}
