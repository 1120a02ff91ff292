// Builds the page into src/signseq/serving/web: index.html, assets/ (names change with their contents)
// and mediapipe/ (its programs and models, so that the page asks no other host for anything).

import { build } from "esbuild";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "../src/signseq/serving/web");
const holistic = join(here, "node_modules/@mediapipe/holistic");
// Of the pose models only that of complexity 1, which `signseq pose` uses too.
const MEDIAPIPE = [
  "holistic.js",
  "holistic.binarypb",
  "holistic_solution_packed_assets.data",
  "holistic_solution_packed_assets_loader.js",
  "holistic_solution_simd_wasm_bin.js",
  "holistic_solution_simd_wasm_bin.wasm",
  "holistic_solution_wasm_bin.js",
  "holistic_solution_wasm_bin.wasm",
  "pose_landmark_full.tflite",
];

async function bundle(entry, format, define = {}) {
  const result = await build({
    absWorkingDir: here,
    entryPoints: [`src/${entry}`],
    outdir: join(out, "assets"),
    entryNames: "[name]-[hash]",
    bundle: true,
    minify: true,
    sourcemap: false,
    target: ["es2022", "chrome100", "firefox110", "safari17"],
    format,
    define,
    metafile: true,
    legalComments: "none",
  });
  const [made] = Object.keys(result.metafile.outputs);
  return relative(out, join(here, made)).replaceAll("\\", "/");
}

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "mediapipe"), { recursive: true });
const worker = await bundle("landmark_worker.ts", "iife");
const script = await bundle("page.ts", "esm", { LANDMARK_WORKER: JSON.stringify(worker) });
const style = await bundle("page.css");
const html = await readFile(join(here, "src/index.html"), "utf8");
await writeFile(
  join(out, "index.html"),
  html.replace("page.css", style).replace("page.ts", script),
);
await cp(join(here, "src/icon.svg"), join(out, "icon.svg"));
for (const name of MEDIAPIPE) await cp(join(holistic, name), join(out, "mediapipe", name));
await writeFile(
  join(out, "mediapipe/NOTICE.txt"),
  `MediaPipe Holistic ${JSON.parse(await readFile(join(holistic, "package.json"))).version}, of the npm package ` +
    "@mediapipe/holistic; copyright The MediaPipe Authors; licence: Apache-2.0,\n" +
    "https://www.apache.org/licenses/LICENSE-2.0\n",
);
