"""The auxiliary loss on what the pose encoder gives."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from conftest import WORDS
from signseq.config import LoraSettings
from signseq.errors import ModelError
from signseq.model.adapters import add_lora, without_adapters
from signseq.model.ctc import CtcHead, CtcLoss, CtcMeter, find_ctc_targets
from signseq.model.sign_translation import SignTranslationModel
from signseq.model.vocabulary import train_tokenizer

D = 8
TEXTS = ["we eat bread", "You see"]


def encode(tokenizer, texts):
    return [np.array(ids, np.int32) for ids in tokenizer(texts)["input_ids"]]


def padded(rows):
    longest = max(map(len, rows))
    return torch.tensor([[*map(int, row), *[-100] * (longest - len(row))] for row in rows])


def build_head(targets, *, rows=300, size=D):
    torch.manual_seed(0)
    settings = targets.settings(rows=rows)
    head = CtcHead(size, classes=len(targets.classes), rows=rows, longest=settings["longest"])
    head.fill(targets)
    return head


@pytest.fixture(scope="module", params=["words", "characters", "bpe", "unigram", "bytes"])
def tokenizer(request):
    return train_tokenizer([" ".join(WORDS), *TEXTS] * 3, kind=request.param, size=60)


def spell(targets, head, labels):
    rows, lengths = head.targets(labels)
    return [
        "".join(str(targets.classes[i]) for i in row[:length])
        for row, length in zip(rows, lengths, strict=True)
    ]


# ----------------------------------------------------------------------------------- the targets


def test_characters_spell_the_text_without_spaces_whatever_the_tokens_are(tokenizer):
    labels = encode(tokenizer, TEXTS)
    targets = find_ctc_targets(tokenizer, labels, kind="characters", weight=0.3)

    assert spell(targets, build_head(targets), padded(labels)) == ["weeatbread", "yousee"]
    assert targets.classes == ("", *sorted(set("weeatbreadyousee")))


def test_tokens_are_those_of_the_text_without_the_end(tokenizer):
    labels = encode(tokenizer, TEXTS)
    targets = find_ctc_targets(tokenizer, labels, kind="tokens", weight=0.3)
    rows, lengths = build_head(targets).targets(padded(labels))

    found = [
        [targets.classes[i] for i in row[:length]]
        for row, length in zip(rows, lengths, strict=True)
    ]
    assert found == [ids[:-1].tolist() for ids in labels]


def test_the_mark_of_wordpiece_is_no_character(tmp_path):
    from tokenizers import Tokenizer, decoders, models

    pieces = {"[UNK]": 0, "bread": 1, "##s": 2}
    inner = Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    inner.decoder = decoders.WordPiece()
    inner.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}'
    )
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path))

    targets = find_ctc_targets(tokenizer, [np.array([1, 2])], kind="characters", weight=1)

    assert spell(targets, build_head(targets), torch.tensor([[1, 2]])) == ["breads"]


def test_language_codes_are_left_out(tokenizer):
    labels = encode(tokenizer, ["we eat"])
    code = int(labels[0][0])

    targets = find_ctc_targets(tokenizer, labels, kind="tokens", weight=1, leave_out=[code])

    assert code not in targets.classes


def test_tokens_that_training_never_saw_have_no_class(tokenizer):
    targets = find_ctc_targets(tokenizer, encode(tokenizer, ["we"]), kind="tokens", weight=1)
    unseen = padded(encode(tokenizer, ["you"]))

    assert build_head(targets).targets(unseen)[1].tolist() == [0]


def test_texts_without_a_character_are_an_error(tokenizer):
    with pytest.raises(ModelError, match=r"training\.ctc_weight.*nothing that could be written"):
        find_ctc_targets(tokenizer, [np.array([2], np.int32)], kind="characters", weight=1)


# -------------------------------------------------------------------------------------- the loss


@pytest.fixture(scope="module")
def words():
    return train_tokenizer([" ".join(WORDS)] * 3)


@pytest.fixture
def head(words):
    labels = encode(words, [" ".join(WORDS)])
    return build_head(find_ctc_targets(words, labels, kind="tokens", weight=1))


def ids(words, text):
    return torch.tensor([words(text, add_special_tokens=False)["input_ids"]])


def test_a_single_way_of_writing_costs_what_its_classes_cost(words, head):
    """As many embeddings as classes leave one path only, so the loss is the sum along it."""
    labels = ids(words, "we eat")
    embeddings = torch.randn(1, 2, D)
    scores = head.project(head.norm(embeddings)).log_softmax(-1)[0]
    first, second = head.targets(labels)[0][0].tolist()

    loss = head(embeddings, torch.ones(1, 2), labels)

    torch.testing.assert_close(loss.total, -(scores[0, first] + scores[1, second]))
    assert (int(loss.classes), loss.clips, int(loss.too_short)) == (2, 1, 0)


def test_clips_that_are_too_short_cost_nothing_and_are_counted(words, head):
    labels = ids(words, "we eat bread").repeat(2, 1)
    embeddings = torch.randn(2, 5, D, requires_grad=True)
    mask = torch.tensor([[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]])

    loss = head(embeddings, mask, labels)
    loss.total.backward()

    assert int(loss.too_short) == 1
    assert not embeddings.grad[0].any()
    assert embeddings.grad[1].any()
    assert loss.total.isfinite()


def test_a_class_twice_in_a_row_needs_a_blank_between(words, head):
    twice = ids(words, "we").repeat(1, 2)

    assert int(head(torch.randn(1, 2, D), torch.ones(1, 2), twice).too_short) == 1
    assert int(head(torch.randn(1, 3, D), torch.ones(1, 3), twice).too_short) == 0


def test_what_stands_in_padding_changes_nothing(words, head):
    labels, mask = ids(words, "we eat"), torch.tensor([[1, 1, 1, 0, 0]])
    embeddings = torch.randn(1, 5, D)
    filled = embeddings.clone()
    filled[:, 3:] = 9

    assert head(filled, mask, labels).total.equal(head(embeddings, mask, labels).total)


def test_the_meter_gives_the_loss_per_class_and_starts_again(words, head):
    meter, labels = CtcMeter(), ids(words, "we eat")
    losses = [head(torch.randn(1, n, D), torch.ones(1, n), labels) for n in (1, 4)]
    for loss in losses:
        meter.add(loss)

    taken = meter.take()

    assert taken["ctc_loss"] == pytest.approx(float(losses[1].total.detach()) / 2)
    assert taken["ctc_too_short"] == 0.5
    assert meter.take() == {}


def test_the_meter_adds_up_what_several_processes_met():
    def meter(*losses):
        made = CtcMeter()
        for total, classes, clips in losses:
            made.add(CtcLoss(torch.tensor(total), torch.tensor(classes), clips, torch.tensor(1)))
        return made

    one, other, sums = (3.0, 2, 4), (5.0, 7, 2), []
    meter(other).take(lambda own: sums.append(own) or own)

    found = meter(one).take(lambda own: own + sums[0])

    assert found == pytest.approx({"ctc_loss": 8 / 9, "ctc_too_short": 2 / 6})
    assert found == meter(one, other).take()


def test_the_meter_forgets_the_last_batches_or_all():
    meter = CtcMeter()
    for total in (1.0, 2.0, float("nan")):
        meter.add(CtcLoss(torch.tensor(total), torch.tensor(1), 1, torch.tensor(0)))

    meter.forget(0)
    meter.forget(1)

    assert meter.take()["ctc_loss"] == 1.5
    meter.add(CtcLoss(torch.tensor(1.0), torch.tensor(1), 1, torch.tensor(0)))
    meter.forget()
    assert meter.take() == {}


# ------------------------------------------------------------------------------------- the model

LABELS = torch.tensor([[7, 8, 9, 2], [9, 7, 2, -100]])


@pytest.fixture(scope="module")
def targets():
    tokenizer = train_tokenizer(["we eat bread", "you see water"] * 2)
    return find_ctc_targets(tokenizer, [np.arange(4, 16)], kind="tokens", weight=0.5)


@pytest.mark.parametrize("name", ["t5", "bart", "qwen2"])
def test_it_is_added_with_its_weight_in_training_only(make_model, clips, targets, name):
    model, plain = (
        make_model(name, ctc=targets, encoder={"registers": 2}),
        make_model(name, encoder={"registers": 2}),
    )
    plain.load_state_dict(model.state_dict(), strict=False)
    batch = clips(24, 19) | {"labels": LABELS}

    without = plain.train()(**batch).loss
    loss = model.train()(**batch).loss
    embedded, mask = model.pose_encoder(batch["poses"], batch["attention_mask"])
    alone = model.pose_encoder.ctc(embedded[:, 2:], mask[:, 2:], LABELS)

    torch.testing.assert_close(loss, without + 0.5 * alone.total / 7)
    torch.testing.assert_close(model.train(False)(**batch).loss, plain.train(False)(**batch).loss)


def test_accumulating_clips_equals_one_batch(make_model, clips, targets):
    model = make_model(ctc=targets).train()
    batch, count = clips(24, 19), torch.tensor(7)
    whole = model(**batch, labels=LABELS, num_items_in_batch=count).loss

    parts = [
        model(
            **{key: value[row : row + 1] for key, value in batch.items()},
            labels=LABELS[row : row + 1],
            num_items_in_batch=count,
        ).loss
        for row in range(2)
    ]

    torch.testing.assert_close(sum(parts), whole, rtol=1e-5, atol=1e-6)


def test_the_head_is_saved_and_generation_ignores_it(make_model, clips, targets, tmp_path):
    model = make_model(ctc=targets).train(False)
    model.save_pretrained(tmp_path)
    loaded = SignTranslationModel.from_pretrained(tmp_path)
    batch, settings = clips(16, 9), {"num_beams": 2, "max_new_tokens": 5}

    saved = model.state_dict()
    assert {"pose_encoder.ctc.project.weight", "pose_encoder.ctc.table"} <= saved.keys()
    assert all(weight.equal(saved[key]) for key, weight in loaded.state_dict().items())
    assert loaded.config.ctc["target"] == "tokens"
    written = model.generate(**batch, **settings)
    torch.nn.init.zeros_(loaded.pose_encoder.ctc.project.weight)
    assert loaded.generate(**batch, **settings).equal(written)


def test_the_head_trains_and_is_saved_beside_adapters(make_model, clips, targets, tmp_path):
    model = make_model(ctc=targets)
    adapted = add_lora(model, LoraSettings(r=2))
    adapted.train()

    adapted(**clips(24, 19), labels=LABELS).loss.backward()
    adapted.save_pretrained(str(tmp_path))

    head = without_adapters(adapted).pose_encoder.ctc
    assert head.project.weight.grad.abs().sum() > 0
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert any(key.endswith("pose_encoder.ctc.table") for key in saved)
