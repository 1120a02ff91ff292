"""Several runs in one start of the processes, which takes longer than the runs: torchrun run_many.py CONFIG..."""

import logging
import os
import signal
import sys

import numpy as np
from transformers import TrainerCallback

from signseq.config import load_config
from signseq.data.batching import ClipDataset
from signseq.errors import SignSeqError
from signseq.training.run import train


class Stop(TrainerCallback):
    """One of the processes is told to stop."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 7 and args.process_index == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def spoil_clip(number):
    """Make a training clip such that its loss is no number, in the first epoch."""
    whole = ClipDataset.__getitem__

    def read(self, key):
        clip = whole(self, key)
        is_bad = self.augmentation is not None and key == (0, number)
        return {**clip, "poses": np.full_like(clip["poses"], np.inf)} if is_bad else clip

    ClipDataset.__getitem__ = read
    return whole


def main(paths):
    for path in paths:
        whole = spoil_clip(17) if "spoiled" in path else ClipDataset.__getitem__
        stops = [Stop()] if "stopped" in path else []
        try:
            train(load_config(path), observers=stops)
        except SignSeqError as fault:
            print(os.environ["RANK"], type(fault).__name__, fault, flush=True)
        ClipDataset.__getitem__ = whole


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("signseq.training.safety").setLevel(logging.INFO)
    main(sys.argv[1:])
