import numpy as np
import pytest

from signseq.training.run import build_parts


@pytest.mark.parametrize("is_asked", [False, True])
def test_texts_count_in_making_batches_where_that_is_asked_for(run_config, is_asked):
    parts = build_parts(run_config(f"training.bucket_texts={is_asked}", "data.val_path=null"))
    tokens = [len(ids) for ids in parts.dataset.labels]

    if is_asked:
        np.testing.assert_array_equal(parts.sampler.tokens, tokens)
    else:
        assert parts.sampler.tokens is None
