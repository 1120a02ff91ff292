from __future__ import annotations

import pickle

from signseq.errors import MissingExtraError


def test_a_missing_extra_comes_back_from_another_process() -> None:
    fault = MissingExtraError(package="wandb", extra="wandb", purpose="training.use_wandb")
    copy = pickle.loads(pickle.dumps(fault))
    assert type(copy) is MissingExtraError
    assert str(copy) == str(fault)
    assert "pip install 'signseq[wandb]'" in str(copy)
