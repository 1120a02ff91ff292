"""Small files whose scores sacreBLEU 2.6.0's own command line gave; no code of ours had a part in the figures.

With the files of FILES in a folder, SACREBLEU stands for `sacrebleu REFS -i HYP -w 10` and gave them by

    SACREBLEU -m bleu chrf ter
    SACREBLEU -m chrf --chrf-word-order 2
    sacrebleu zh.ref -i zh.hyp -w 10 -tok zh -m bleu chrf
    sacrebleu zh.ref -i zh.hyp -w 10 -m ter --ter-normalized --ter-asian-support
"""

import pytest

from signseq.scoring import score_files

FILES = {
    "en.hyp": "The weather will be nice in the north tomorrow.\n"
    "On sunday it rains along the coast, and it stays cold.\n"
    "I don't know where she lives!\n\nPlease open the second door on your left\n",
    "en.ref": "Tomorrow the weather in the north will be nice.\n"
    "On Sunday it rains along the coast; it will stay cold.\n"
    "I don't know where she lives.\nHe works at the U.N. office in Geneva.\nPlease open the 2nd door on the left.\n",
    "en.ref2": "The weather in the north is going to be fine tomorrow.\n"
    "Sunday brings rain to the coast, and it stays cold.\nI do not know where she lives.\n"
    "He has a job in the U.N.'s office in Geneva.\nPlease open the second door to your left.\n",
    "de.hyp": "im norden bleibt es morgen trocken\r\nam sonntag regnet es in den alpen bei fünf grad\r\n"
    "und nun die wettervorhersage für morgen donnerstag\r\n",
    "de.ref": "morgen bleibt es im norden trocken\r\nam sonntag regnet es an den alpen bei vier bis fünf grad\r\n"
    "und nun die wettervorhersage für morgen donnerstag den dritten märz\r\n",
    "zh.hyp": "明天北方天气很好。\n他在医院工作了3年\n请打开左边的门\n",
    "zh.ref": "明天北方的天气会很好。\n他在医院工作了三年。\n请打开左边第二扇门。\n",
}


@pytest.mark.parametrize(
    ("names", "bleu4", "chrf", "chrf_pp", "ter"),
    [
        (("en.hyp", "en.ref"), "28.0892746013", "60.9416473587", "58.5197202003", "47.6190476190"),
        (
            ("en.hyp", "en.ref", "en.ref2"),
            *("47.9861930558", "65.2931599721", "63.2244248168", "43.1818181818"),
        ),
        (("de.hyp", "de.ref"), "46.6022768846", "77.1373750303", "75.3313477094", "28.5714285714"),
        (("zh.hyp", "zh.ref"), "50.4713465946", "42.1495577837", "36.1281923861", "25.8064516129"),
    ],
)
def test_files_of_known_score_get_it_to_the_digit(tmp_path, names, bleu4, chrf, chrf_pp, ter):
    for name in names:
        (tmp_path / name).write_bytes(FILES[name].encode())
    hypotheses, *references = (tmp_path / name for name in names)

    found = score_files(hypotheses, references, metrics=["bleu4", "chrf", "chrf_pp", "ter"])
    shown = [f"{value:.10f}" for value in found.values().values()]
    assert shown == [bleu4, chrf, chrf_pp, ter]
