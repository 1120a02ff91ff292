"""The files of each corpus as they come, tiny: a table, and poses in `poses`."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from conftest import make_pose
from pose_files import random_points, write_openpose, write_wholebody
from signseq.poses.sequence import write_pose

FRAMES = 10
Files = tuple[str, list[str]]  # the table of the training split, and settings of the data section


def dot_pose(folder: Path, name: str, *, frames: int = FRAMES) -> None:
    write_pose(folder / "poses" / f"{name}.pose", make_pose(frames=frames), size=(500, 500))


def own(folder: Path) -> Files:
    for name in ("a", "b"):
        dot_pose(folder, name)
    (folder / "t.csv").write_text("uid,text\na,we eat\nb,you see\n")
    return "t.csv", []


def tsv(folder: Path) -> Files:
    own(folder)
    (folder / "t.tsv").write_text("uid\ttext\na\twe eat\nb\tyou see\n")
    return "t.tsv", []


def jsonl(folder: Path) -> Files:
    own(folder)
    (folder / "t.jsonl").write_text(
        '{"uid": "a", "text": "we eat"}\n{"uid": "b", "text": "you see"}\n'
    )
    return "t.jsonl", []


def parquet(folder: Path) -> Files:
    import pyarrow
    from pyarrow import parquet

    own(folder)
    rows = pyarrow.table({"uid": ["a", "b"], "text": ["we eat", "you see"]})
    parquet.write_table(rows, folder / "t.parquet")
    return "t.parquet", []


def huggingface(folder: Path) -> Files:
    import datasets

    own(folder)
    rows = datasets.Dataset.from_dict({"name": ["a", "b"], "translation": ["we eat", "you see"]})
    rows.save_to_disk(str(folder / "t"))
    return "t", ["columns.uid=name", "columns.text=translation"]


def how2sign(folder: Path) -> Files:
    rows = ["VIDEO_NAME\tSENTENCE_NAME\tSTART_REALIGNED\tEND_REALIGNED\tSENTENCE"]
    for name, text in (("a", "we eat"), ("b", "you see")):
        values = random_points(FRAMES, 137)
        write_openpose(folder / "poses" / name, [[frame] for frame in values])
        rows.append(f"v\t{name}\t1.0\t2.0\t{text}")
    (folder / "how2sign_realigned_train.csv").write_text("\n".join(rows))
    return "how2sign_realigned_train.csv", ["pose_files.fps=25"]


def phoenix(folder: Path) -> Files:
    rows = ["name|video|start|end|speaker|orth|translation"]
    for name, text in (("a", "we eat"), ("b", "you see")):
        dot_pose(folder, name)
        rows.append(f"{name}|{name}/1/*.png|-1|-1|Signer01|WE|{text}")
    (folder / "PHOENIX-2014-T.train.corpus.csv").write_text("\n".join(rows))
    return "PHOENIX-2014-T.train.corpus.csv", []


def csl_daily(folder: Path) -> Files:
    names = ("S000000_P0000_T00", "S000007_P0003_T00")
    info = [
        {"name": name, "label_char": list(text)}
        for name, text in zip(names, ("we eat", "you see"), strict=True)
    ]
    (folder / "csl2020ct_v2.pkl").write_bytes(pickle.dumps({"info": info}))
    (folder / "split_1.txt").write_text(f"name|split\n{names[0]}|train\n")
    for name in names:
        dot_pose(folder, name)
    return "csl2020ct_v2.pkl", ["allow_pickle=true"]


def openasl(folder: Path) -> Files:
    columns = "vid\tyid\tstart\tend\traw-text\tsplit"
    rows = "a\tv\t00:00:00.400\t00:00:00.800\twe eat\ttrain\nb\tv\t00:00:01.0\t00:00:01.4\tyou see\ttrain\n"
    (folder / "openasl-v1.0.tsv").write_text(f"{columns}\n{rows}")
    dot_pose(folder, "v", frames=50)
    return "openasl-v1.0.tsv", []


def youtube_asl(folder: Path) -> Files:
    clips = {
        "clip_order": ["a", "b"],
        "a": {"translation": "we eat"},
        "b": {"translation": "you see"},
    }
    (folder / "YouTubeASL.annotation.train.json").write_text(json.dumps({"v": clips}))
    (folder / "poses" / "YouTubeASL.keypoints.train.json").write_text(json.dumps({"v": 0}))
    with h5py.File(folder / "poses" / "YouTubeASL.keypoints.train.0.h5", "w") as file:
        for clip in ("a", "b"):
            points = random_points(FRAMES, 104, channels=2)
            file[f"v/{clip}"] = points.reshape(FRAMES, 208).astype(np.float16)
    return "YouTubeASL.annotation.train.json", ["pose_files.fps=25", "normalize=none"]


def wholebody(folder: Path) -> Files:
    for name in ("a", "b"):
        values = random_points(FRAMES, 133) / np.array([512, 512, 1], np.float32)
        write_wholebody(folder / "poses" / f"{name}.pkl", values)
    (folder / "t.csv").write_text("uid,text\na,we eat\nb,you see\n")
    return "t.csv", ["allow_pickle=true", "pose_files.fps=25", "pose_files.size=[512,512]"]


def mmhugs(folder: Path) -> Files:
    columns = "signal\tsignal_start\tsignal_end\tencoder_prompt\tdecoder_prompt\toutput"
    rows = "v.pose\t400\t800\t\t\twe eat\nv.pose\t1000\t1400\t\t\tyou see\n"
    (folder / "t.tsv").write_text(f"{columns}\n{rows}")
    dot_pose(folder, "v", frames=50)
    return "t.tsv", []


FILE_SETS: dict[str, Callable[[Path], Files]] = {
    "csv": own,
    "tsv": tsv,
    "jsonl": jsonl,
    "parquet": parquet,
    "huggingface": huggingface,
    "isign": own,
    "how2sign": how2sign,
    "phoenix": phoenix,
    "csl_daily": csl_daily,
    "openasl": openasl,
    "youtube_asl_h5": youtube_asl,
    "wholebody_pkl": wholebody,
    "mmhugs_tsv": mmhugs,
}
