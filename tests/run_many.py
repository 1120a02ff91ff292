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
from signseq.training import trainer
from signseq.training.run import train


class Stop(TrainerCallback):
    """One of the processes is told to stop."""

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == 7 and args.process_index == 1:
            os.kill(os.getpid(), signal.SIGTERM)


def stop_while_scoring(step):
    """One of the processes is told to stop while a step's translations are made."""
    translate = trainer.translate_store

    def send_and_translate(*given, before_batch, **named):
        running = before_batch.__self__
        if running.state.global_step == step and running.args.process_index == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return translate(*given, before_batch=before_batch, **named)

    trainer.translate_store = send_and_translate
    return translate


def spoil_clip(number):
    """Make a training clip such that its loss is no number, in the first epoch."""
    whole = ClipDataset.__getitems__

    def read(self, keys):
        clips = whole(self, keys)
        for key, clip in zip(keys, clips, strict=True):
            if self.augmentation is not None and key == (0, number):
                clip["poses"] = np.full_like(clip["poses"], np.inf)
        return clips

    ClipDataset.__getitems__ = read
    return whole


def main(paths):
    for path in paths:
        whole = spoil_clip(17) if "spoiled" in path else ClipDataset.__getitems__
        stops = [Stop()] if "stopped" in path else []
        translate = stop_while_scoring(18) if "unscored" in path else trainer.translate_store
        try:
            train(load_config(path), observers=stops)
        except SignSeqError as fault:
            print(os.environ["RANK"], type(fault).__name__, fault, flush=True)
        ClipDataset.__getitems__ = whole
        trainer.translate_store = translate


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("signseq.training.safety").setLevel(logging.INFO)
    main(sys.argv[1:])
