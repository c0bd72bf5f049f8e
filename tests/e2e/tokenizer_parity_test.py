"""Hadal's tokenizer against the Python package `tokenizers`: same ids, same text back.

Needs: tokenizers==0.23.3 pytest==9.2.0 (the version that made engine/text/unicode_tables.inc).

    export HADAL_TOKENIZER_DRIVER=build/release/tokenizer_driver
    pytest -s tests/e2e/tokenizer_parity_test.py

HADAL_SEED replays a run; each run prints the seed that it used. HADAL_STEP=n leaves all but every
n-th code point and string out, for slow builds.
"""

import os
import pathlib
import random
import struct
import subprocess
import sys
import sysconfig
import time

import pytest
from tokenizers import (Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,
                        trainers)

ROOT = pathlib.Path(__file__).resolve().parents[2]
V3_PATH = ROOT / "tests/data/deepseek-v3-tokenizer/tokenizer.json"
STEP = int(os.environ.get("HADAL_STEP", "1"))
NUM_STRINGS = 24_000 // STEP
# Linear work on 1 MiB takes parts of a second, sanitized or busy some; quadratic work takes hours.
NOT_QUADRATIC_SECONDS = 60

# DeepSeek-V2's pre-tokenizer, as its tokenizer.json writes it. The three escapes are letters whose
# canonical forms lie elsewhere: a copy that was normalised has descending ranges.
V2_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗ"
    "ὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇ"
    "ℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤ"
    "Ⳬ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
)
V2_SPLITS = [
    "[\r\n]",
    rf"\s?[{V2_LETTERS}]+",
    r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
    r"\s+$",
    "[一-龥ࠀ-一가-\ud7ff]+",
]

SCRIPTS = [
    (0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F),
    (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x13A0, 0x13FF), (0x1C90, 0x1CBF), (0x1D00, 0x1DBF), (0x1E00, 0x1FFF),
    (0x2000, 0x206F), (0x2070, 0x20CF), (0x2100, 0x218F), (0x2190, 0x23FF), (0x2460, 0x24FF),
    (0x2C00, 0x2CFF), (0x3000, 0x303F), (0x3040, 0x30FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xA640, 0xA69F), (0xA720, 0xA7FF), (0xAC00, 0xD7FF), (0xE000, 0xE0FF), (0xFB00, 0xFB4F),
    (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x10400, 0x104FF), (0x1D400, 0x1D7FF),
    (0x1E900, 0x1E95F), (0x1F000, 0x1FAFF), (0x20000, 0x2A6DF), (0xE0000, 0xE01EF),
]
SPACES = ["\r\n", "\n", "\r", " ", "  ", "\t", "\v", "\f", "\x85", "\xa0", "\u1680", "\u2003",
          "\u2028", "\u2029", "\u202f", "\u3000", "\u200b", "\ufeff", "\x1c", "\x00"]
SNIPPETS = ["def f(x):\n    return x ** 2  # square\n", "don't we'll I'M they've", "1234567890",
            "3.14159e-10", "½¼Ⅷ٣٤५६", "価格は１２３４円です。", "한국어 텍스트", "ﬁne ǅ ŉ", "👩‍👩‍👧‍👦🏳️‍🌈👍🏽",
            "e\u0301a\u0308\u0323", "ก็ดี", "नमस्ते", "مرحبا ١٢٣", "שלום",
            "https://a.b/c?d=e&f=%20",
            "<html>\n\t<b>x</b>\r\n</html>", "`'\"“”‘’«»", "…—–・、。！？", "== != <= >= -> ::",
            "\\n\\t\\u0041", "$x^2+y_i$", "A\u0300", "İı", "ẞß", "𝔘𝔫𝔦", "\U0010ffff", "x" * 70]


def seed():
    value = int(os.environ.get("HADAL_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"\nHADAL_SEED={value}", file=sys.stderr)
    return value


def corpus_files(rng, count):
    files = sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py"))
    return [path.read_text(encoding="utf-8", errors="replace") for path in rng.sample(files, count)]


class Strings:
    """Random strings of many kinds."""

    def __init__(self, rng):
        self.rng = rng
        self.real_texts = corpus_files(rng, 40)
        self.kinds = [self.script, self.mixed_scripts, self.spaces, self.snippets, self.any_planes,
                      self.bytes, self.run, self.slice, self.digits, self.mixture]

    def one(self):
        return self.rng.choice(self.kinds)()

    def script(self):
        first, last = self.rng.choice(SCRIPTS)
        return "".join(chr(self.rng.randint(first, last)) for _ in range(self.rng.randint(1, 40)))

    def mixed_scripts(self):
        return "".join(self.script()[:6] + self.rng.choice(["", " "]) for _ in range(8))

    def spaces(self):
        return "".join(self.rng.choice(SPACES) * self.rng.choice([1, 1, 2, 5]) +
                       self.rng.choice(["", "", "a", "1", ".", "é", "中", "。", "\u0301"])
                       for _ in range(self.rng.randint(1, 12)))

    def snippets(self):
        return self.rng.choice(["", " ", "\n", "\u3000"]).join(
            self.rng.choice(SNIPPETS) for _ in range(self.rng.randint(1, 5)))

    def any_planes(self):
        def scalar():
            c = self.rng.randrange(0x110000)
            return chr(c) if not 0xD800 <= c <= 0xDFFF else " "
        return "".join(scalar() + self.rng.choice(["", "", "a", " "])
                       for _ in range(self.rng.randint(1, 20)))

    def bytes(self):
        return self.rng.randbytes(self.rng.randint(0, 60)).decode("utf-8", errors="replace")

    def run(self):
        unit = self.rng.choice(SPACES + ["a", "1", "=", "中", "あ", "é", "\u0301", "ab", "👍", "- "])
        return self.rng.choice(["", "x", " "]) + unit * self.rng.randint(1, 300) + self.rng.choice(
            ["", "x", "\n", " 1"])

    def slice(self):
        text = self.rng.choice(self.real_texts)
        begin = self.rng.randrange(len(text))
        return text[begin:begin + self.rng.randint(1, 400)]

    def digits(self):
        units = ["0", "42", "007", "٣", "५", "½", "Ⅷ", "²", "１", ",", ".", " ", "a", "-"]
        return "".join(self.rng.choice(units) for _ in range(self.rng.randint(1, 20)))

    def mixture(self):
        return "".join(self.rng.choice(self.kinds[:-1])()[:20] for _ in range(4))


def code_points(first, step):
    """Scalar values, some in each string, between neighbours that make classes matter."""
    scalars = [chr(c) for c in range(first, 0x110000, step) if not 0xD800 <= c <= 0xDFFF]
    num_together = 48
    for i in range(0, len(scalars), num_together):
        part = scalars[i:i + num_together]
        yield "".join(part)
        yield "".join(f"a{c} {c}\n" for c in part)


class Driver:
    def __init__(self, tokenizer_path):
        self.path = str(tokenizer_path)
        self.program = os.environ["HADAL_TOKENIZER_DRIVER"]
        self.work_seconds = 0.0
        self.load_seconds = 0.0

    def _run(self, mode, payload):
        result = subprocess.run([self.program, mode, self.path], input=payload, check=True,
                                capture_output=True, timeout=600)
        words = result.stderr.split()
        self.load_seconds, self.work_seconds = float(words[1]), float(words[3])
        return result.stdout

    def encode(self, strings):
        raw = [s.encode() for s in strings]
        output = self._run("encode", b"".join(struct.pack("<I", len(s)) + s for s in raw))
        numbers = memoryview(output).cast("I")
        ids, at = [], 0
        for _ in strings:
            count = numbers[at]
            ids.append(numbers[at + 1:at + 1 + count].tolist())
            at += 1 + count
        assert at == len(numbers)
        return ids

    def decode(self, id_lists):
        payload = b"".join(struct.pack(f"<{len(ids) + 1}I", len(ids), *ids) for ids in id_lists)
        output = self._run("decode", payload)
        texts, at = [], 0
        for _ in id_lists:
            (size,) = struct.unpack_from("<I", output, at)
            texts.append(output[at + 4:at + 4 + size].decode())
            at += 4 + size
        assert at == len(output)
        return texts


@pytest.fixture(scope="module", autouse=True)
def require_driver():
    assert "HADAL_TOKENIZER_DRIVER" in os.environ, "it must name the tokenizer_driver program"


def train(pre_tokenizer, path, ignore_merges=False):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.normalizer = normalizers.Sequence([])
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=3000, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  special_tokens=["<｜begin▁of▁sentence｜>"])
    rng = random.Random(1)
    strings = Strings(rng)
    texts = corpus_files(rng, 15) + SNIPPETS * 20 + [strings.one() for _ in range(1000)]
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
    return path


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(add_prefix_space, use_regex):
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


def v2_pre_tokenizer():
    return pre_tokenizers.Sequence([split(p) for p in V2_SPLITS] +
                                   [pre_tokenizers.Digits(individual_digits=True),
                                    byte_level(False, False)])


@pytest.fixture(scope="module", params=["v3", "v2", "gpt2", "gpt2_prefix", "ignore_merges", "runs"])
def tokenizer_path(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "tokenizer.json"
    if request.param == "v3":
        return V3_PATH
    if request.param == "v2":
        return train(v2_pre_tokenizer(), path)
    if request.param == "gpt2":
        return train(byte_level(False, True), path)
    if request.param == "gpt2_prefix":
        return train(byte_level(True, True), path)
    if request.param == "ignore_merges":
        return train(v2_pre_tokenizer(), path, ignore_merges=True)
    # Steps whose meaning shows only without the ones that usually stand before them.
    steps = [split(r"\s+$"), pre_tokenizers.Digits(individual_digits=False), split(r"\s?\p{L}+"),
             split(r"\p{P}{1,2}"), split(r"[\p{S}\s\-]+")]
    return train(pre_tokenizers.Sequence(steps + [byte_level(False, False)]), path)


def without_added_tokens(tokenizer, strings):
    """The strings that hold no added token's text: the package would make that token of it."""
    added = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    return [s for s in strings if not any(a in s for a in added)]


def assert_same_ids(tokenizer, driver, strings):
    begin = time.perf_counter()
    wanted = [e.ids for e in tokenizer.encode_batch_fast(strings, add_special_tokens=False)]
    package_seconds = time.perf_counter() - begin
    got = driver.encode(strings)
    for string, want, have in zip(strings, wanted, got):
        assert have == want, f"{string!r}: {have} != {want}"
    size = sum(len(s.encode()) for s in strings) / 1e6
    print(f"\n{len(strings)} strings, {size:.2f} MB: hadal {size / driver.work_seconds:.1f} MB/s "
          f"(load {driver.load_seconds * 1000:.0f} ms), package {size / package_seconds:.1f} MB/s",
          file=sys.stderr)
    return got


def test_random_strings(tokenizer_path):
    generator = Strings(random.Random(seed()))
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    strings = [""] + [generator.one() for _ in range(NUM_STRINGS)]
    strings = without_added_tokens(tokenizer, strings)
    assert len(strings) >= NUM_STRINGS * 5 // 6
    driver = Driver(tokenizer_path)
    ids = assert_same_ids(tokenizer, driver, strings)
    decoded = driver.decode(ids)
    adds_space = "add_prefix_space\":true" in tokenizer.pre_tokenizer.__getstate__().decode()
    for string, text in zip(strings, decoded):
        assert text == string or (adds_space and text == " " + string)


def test_every_code_point(tokenizer_path):
    """All code points with V3's tokenizer; a random sixteenth, evenly spread, with others."""
    step = STEP if tokenizer_path == V3_PATH else 16 * STEP
    first = random.Random(seed()).randrange(step)
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    assert_same_ids(tokenizer, Driver(tokenizer_path), list(code_points(first, step)))


def test_decode_of_random_ids(tokenizer_path):
    rng = random.Random(seed())
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    vocab_size = max(tokenizer.get_vocab().values()) + 1
    id_lists = [[rng.randrange(vocab_size + 3) for _ in range(rng.randint(0, 30))]
                for _ in range(5000)]
    strings = Strings(rng)
    texts = Driver(tokenizer_path).decode(id_lists)
    for ids, text in zip(id_lists, texts):
        assert text == tokenizer.decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("text", ["a", " ", "\n", "1", "=", "中あア。", "\u3000", "Zqxj kvwz"])
def test_a_mebibyte_is_linear(text):
    driver = Driver(V3_PATH)
    (ids,) = driver.encode([text * ((1 << 20) // len(text.encode()))])
    print(f"\n1 MiB of {text!r}: {driver.work_seconds * 1000:.0f} ms, {len(ids)} ids",
          file=sys.stderr)
    assert driver.work_seconds < NOT_QUADRATIC_SECONDS


def test_random_letters_in_one_word():
    rng = random.Random(seed())
    text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=1 << 20))
    driver = Driver(V3_PATH)
    assert_same_ids(Tokenizer.from_file(str(V3_PATH)), driver, [text])
    assert driver.work_seconds < NOT_QUADRATIC_SECONDS
