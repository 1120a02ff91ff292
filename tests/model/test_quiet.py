"""Keeping transformers from saying what doesn't concern a user."""

from transformers.utils import logging as transformers_logging

from signseq.model.quiet import errors_only


def test_warnings_are_kept_back_and_come_again_afterwards(caplog):
    before = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_warning()
    try:
        logger = transformers_logging.get_logger("transformers.signseq_test")
        with errors_only():
            logger.warning("kept back")
            logger.error("told")
        logger.warning("told again")
    finally:
        transformers_logging.set_verbosity(before)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["told", "told again"]
