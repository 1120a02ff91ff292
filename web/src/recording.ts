/** One recording from the camera: its clip, and the socket that translates it meanwhile. */

import { columnsOf, meanRate, selectPoints, type Clip } from "./clip.ts";
import { KEYPOINTS, skeletonEdges } from "./points.ts";
import { LiveTranslation, type Choice, type Service } from "./service.ts";

export class Recording {
  readonly live: LiveTranslation;
  private readonly columns: number[];
  private readonly frames: Float32Array[] = [];
  private readonly times: number[] = [];
  private readonly began = performance.now();
  private first = 0;

  constructor(
    readonly choice: Choice,
    private size: { width: number; height: number },
    service: Service,
    onPartial: (text: string) => void,
  ) {
    this.columns = columnsOf(choice.model.keypoints, KEYPOINTS);
    this.live = new LiveTranslation(choice, service, onPartial);
  }

  /** Seconds since the button was pressed. */
  get seconds(): number {
    return (performance.now() - this.began) / 1000;
  }

  /** A frame that was in the camera at `now` (performance.now()). */
  add(values: Float32Array, now: number): void {
    if (!this.frames.length) this.first = now;
    const time = (now - this.first) / 1000;
    this.frames.push(values);
    this.times.push(time);
    this.live.send(time, selectPoints(values, this.columns));
  }

  /** What was recorded; null if it is less than two pictures. */
  finish(): Clip | null {
    if (this.frames.length < 2) {
      this.live.cancel();
      return null;
    }
    const fps = meanRate(this.times);
    return { keypoints: KEYPOINTS, edges: skeletonEdges(KEYPOINTS), frames: this.frames, times: this.times, fps, ...this.size };
  }
}

