/**
 * .pose files: version 0.2 is written, 0.1 and 0.2 are read.
 * Format: https://github.com/sign-language-processing/pose/tree/master/docs/specs
 */

import { atConstantRate, NUMBERS, type Clip } from "./clip.ts";
import { skeletonEdges, type Edge } from "./points.ts";

const MAX_NUMBER = 0xffff; // sizes and counts are 16 bits wide

/** Writes little-endian numbers and strings one after the other. */
class Writer {
  private bytes: number[] = [];

  uint16(...values: number[]): void {
    for (const value of values) this.bytes.push(value & 255, (value >> 8) & 255);
  }

  uint32(value: number): void {
    this.uint16(value & 0xffff, value >>> 16);
  }

  float32(value: number): void {
    this.bytes.push(...new Uint8Array(new Float32Array([value]).buffer));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.uint16(bytes.length);
    this.bytes.push(...bytes);
  }

  done(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.bytes);
  }
}

/** Runs of points of one component: [component, first, after the last]. */
function components(keypoints: string[]): [string, number, number][] {
  const runs: [string, number, number][] = [];
  keypoints.forEach((name, i) => {
    const component = name.split(".", 1)[0];
    const last = runs[runs.length - 1];
    if (last?.[0] === component) last[2] = i + 1;
    else runs.push([component, i, i + 1]);
  });
  return runs;
}

export function writePose(recorded: Clip): Blob {
  const clip = atConstantRate(recorded);
  const header = new Writer();
  const runs = components(clip.keypoints);
  header.float32(0.2);
  header.uint16(Math.min(clip.width, MAX_NUMBER), Math.min(clip.height, MAX_NUMBER), 0, runs.length);
  for (const [component, first, end] of runs) {
    const limbs = clip.edges.filter((edge) => edge.every((point) => point >= first && point < end));
    header.string(component);
    header.string("XYZC");
    header.uint16(end - first, limbs.length, limbs.length);
    for (const name of clip.keypoints.slice(first, end)) header.string(name.slice(component.length + 1));
    for (const [a, b] of limbs) header.uint16(a - first, b - first);
    for (const _ of limbs) header.uint16(0, 0, 0); // colours
  }
  header.float32(clip.fps);
  header.uint32(clip.frames.length);
  header.uint16(1); // people
  const points = clip.keypoints.length;
  const data = new Float32Array(clip.frames.length * points * 3);
  const confidence = new Float32Array(clip.frames.length * points);
  clip.frames.forEach((frame, t) => {
    for (let k = 0; k < points; k++) {
      data.set(frame.subarray(k * NUMBERS, k * NUMBERS + 3), (t * points + k) * 3);
      confidence[t * points + k] = frame[k * NUMBERS + 3];
    }
  });
  return new Blob([header.done(), data, confidence], { type: "application/octet-stream" });
}

/** Reads little-endian numbers and strings one after the other; beyond the end it throws a RangeError. */
class Reader {
  at = 0;
  private view: DataView;

  constructor(private buffer: ArrayBuffer) {
    this.view = new DataView(buffer);
  }

  uint16(): number {
    this.at += 2;
    return this.view.getUint16(this.at - 2, true);
  }

  uint32(): number {
    this.at += 4;
    return this.view.getUint32(this.at - 4, true);
  }

  float32(): number {
    this.at += 4;
    return this.view.getFloat32(this.at - 4, true);
  }

  string(): string {
    const length = this.uint16();
    this.at += length;
    return new TextDecoder().decode(new Uint8Array(this.buffer, this.at - length, length));
  }

  floats(count: number): Float32Array {
    this.at += count * 4;
    if (this.at > this.buffer.byteLength) throw new RangeError("the header promises more"); // slice() would give less
    return new Float32Array(this.buffer.slice(this.at - count * 4, this.at));
  }
}

const VERSIONS = [0.1, 0.2];
const isVersion = (number: number) => VERSIONS.some((version) => Math.abs(number - version) < 1e-6);

/** Whether a file begins as .pose files do: with their version. */
export async function isPose(file: Blob): Promise<boolean> {
  const start = await file.slice(0, 4).arrayBuffer();
  return start.byteLength === 4 && isVersion(new DataView(start).getFloat32(0, true));
}

/** Read a .pose file to draw it; the first person of it. Null if it isn't one: the service then says what is wrong. */
export function readPose(buffer: ArrayBuffer): Clip | null {
  try {
    return parse(new Reader(buffer));
  } catch (fault) {
    if (fault instanceof RangeError) return null;
    throw fault;
  }
}

function parse(reader: Reader): Clip | null {
  const version = reader.float32();
  if (!isVersion(version)) return null;
  const [width, height] = [reader.uint16(), reader.uint16(), reader.uint16()];
  const keypoints: string[] = [];
  const limbs: Edge[] = [];
  let dimensions = 0;
  for (let left = reader.uint16(); left > 0; left--) {
    const component = reader.string();
    dimensions = Math.max(dimensions, reader.string().length - 1); // "XYZC"
    const [points, lines, colors] = [reader.uint16(), reader.uint16(), reader.uint16()];
    const first = keypoints.length;
    for (let i = 0; i < points; i++) keypoints.push(`${component}.${reader.string()}`);
    for (let i = 0; i < lines; i++) limbs.push([first + reader.uint16(), first + reader.uint16()]);
    reader.at += colors * 6;
  }
  const fps = version < 0.15 ? reader.uint16() : reader.float32();
  const frames = version < 0.15 ? reader.uint16() : reader.uint32();
  const people = reader.uint16();
  const points = keypoints.length;
  if (!frames || !people || !points || dimensions < 2 || !(fps > 0)) return null;
  const data = reader.floats(frames * people * points * dimensions);
  const confidence = reader.floats(frames * people * points);
  const named = skeletonEdges(keypoints);
  return {
    keypoints,
    edges: named.length ? named : limbs,
    frames: Array.from({ length: frames }, (_, t) => {
      const frame = new Float32Array(points * NUMBERS);
      for (let k = 0; k < points; k++) {
        const from = t * people * points + k;
        for (let c = 0; c < Math.min(dimensions, 3); c++) frame[k * NUMBERS + c] = data[from * dimensions + c];
        frame[k * NUMBERS + 3] = confidence[from];
      }
      return frame;
    }),
    times: Array.from({ length: frames }, (_, t) => t / fps),
    width,
    height,
    fps,
  };
}
