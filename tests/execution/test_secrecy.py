"""Nothing secret is written down, and nothing else is lost."""

from __future__ import annotations

import pytest

from execution.secrecy import REMOVED, has_removed_secret, without_secrets

TOKEN = "hf_" + "aB3" * 11


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "no-known-form-at-all")
    monkeypatch.setenv("MY_PASSWORD", "short")
    monkeypatch.setenv("HF_TOKEN_PATH", "/home/somebody")
    monkeypatch.setenv("EDITOR", "an-innocent-value")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://user:pa%24s@host/x.mp4", f"https://{REMOVED}@host/x.mp4"),
        ("https://user:a:b@host", f"https://{REMOVED}@host"),
        (f"https://{TOKEN}@host/x", f"https://{REMOVED}@host/x"),
        ("https://opaque@host/x", f"https://{REMOVED}@host/x"),
        ("https://host/x?a=1&access_token=abc&b=2", f"https://host/x?a=1&{REMOVED}&b=2"),
        ("https://host/x?X-Amz-Signature=00ff", f"https://host/x?{REMOVED}"),
        ("https://host/x?api_key=abc#part", f"https://host/x?{REMOVED}#part"),
        (f"a dancer, {TOKEN}, in red", f"a dancer, {REMOVED}, in red"),
        ("Authorization: Bearer abc.def-123", f"Authorization: Bearer {REMOVED}"),
        ("said no-known-form-at-all twice", f"said {REMOVED} twice"),
    ],
)
def test_a_secret_is_removed_wherever_it_stands(text, left):
    assert without_secrets({"argv": ["--prompt", text], text: [{"deep": (text,)}]}) == {
        "argv": ["--prompt", left],
        left: [{"deep": [left]}],
    }
    assert has_removed_secret(without_secrets([{"a": text}]))


@pytest.mark.parametrize(
    "text",
    [
        *("a dancer in red, at 5:30, mail@example.org", "24000/1001", "1280x720", "/home/somebody/x.mp4"),
        *(
            "https://example.org/clip.mp4?t=10&part=2",
            "https://example.org/@user/x",
            "short",
            "C:\\clips\\a b",
        ),
        *("an-innocent-value", "the keyboard and the token ring", "sk8er", "0" * 64, "task_animate_and_more"),
        *("/data/hf_models_and_other_checkpoints_of_ours/a.mp4", "/data/sk-animate-the-character-once-more"),
    ],
)
def test_what_is_no_secret_stays(text):
    assert without_secrets([text]) == [text] and not has_removed_secret([text])


@pytest.mark.parametrize("value", [None, 1, 1.5, True, [], {}])
def test_other_plain_data_stays(value):
    assert without_secrets({"a": value}) == {"a": value} and not has_removed_secret(value)
