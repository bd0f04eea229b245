"""Labels, the claims behind them, and what their gateways need."""

from __future__ import annotations

import csv
import io
import tomllib
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from provisioning.cli import main
from provisioning.codes import hash_code, make_code
from provisioning.label import draw, make_link

URL, SHA = "https://fleet.example", "ab" * 32
MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


def run(out: Path, *more: str, url: str = URL, sha: str = SHA) -> int:
    return main(["label", "--url", url, "--ca-sha256", sha, "--out", str(out), *more])


@pytest.mark.parametrize("kind", MAGIC)
def test_label_claim_and_gateway_hold_one_secret_and_only_they(tmp_path: Path, kind: str) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("gateway,title,site\ngw-yufu-0001,罐区,yufu\ngw-yufu-0002,,yufu\n", "utf-8")
    out = tmp_path / "out"
    assert run(out, "--list", str(listed), "--kind", kind) == 0
    rows = list(csv.DictReader((out / "claims.csv").read_text("utf-8").splitlines()))
    assert [(row["gateway"], row["title"], row["site"]) for row in rows] == [
        ("gw-yufu-0001", "罐区", "yufu"),
        ("gw-yufu-0002", "", "yufu"),
    ]
    for row in rows:
        enrol = out / row["gateway"] / "enrol.toml"
        said = tomllib.loads(enrol.read_text("utf-8"))
        assert (said["url"], said["ca_sha256"]) == (URL, SHA)
        assert hash_code(said["claim"]) == row["secret_sha256"]
        assert said["claim"] not in (out / "claims.csv").read_text("utf-8")
        picture = out / f"{row['gateway']}.{kind}"
        assert picture.read_bytes().startswith(MAGIC[kind])
        assert {path.stat().st_mode & 0o777 for path in (enrol, picture)} == {0o600}


def test_the_code_stands_in_the_fragment_which_no_server_sees() -> None:
    code = make_code()
    before, _, fragment = make_link(URL + "/", code).partition("#")
    assert before == "https://fleet.example/claim"
    assert fragment == code
    assert draw(make_link(URL, code), "png") == draw(make_link(URL, code), "png")


def test_labels_are_never_made_twice_into_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "out", "--count", "2") == 0
    assert run(tmp_path / "out") == 1
    assert "there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name\nx\n", "line 1: these are not the columns"),
        ("", "line 1: these are not the columns"),
        ("gateway,title\ngw-yufu-0001\n", "line 2: not as many fields"),
        ("gateway\nGW\n", "line 2: 'GW' is not a gateway name"),
        ("gateway\ngw-yufu-0001\ngw-yufu-0001\n", "line 3: 'gw-yufu-0001' comes twice"),
        ('gateway\n"gw\n', "line"),
    ],
)
def test_a_list_with_mistakes_makes_nothing_and_names_the_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (tmp_path / "list.csv").write_text(text, "utf-8")
    assert run(tmp_path / "out", "--list", str(tmp_path / "list.csv")) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("url", "sha"), [("http://fleet.example", SHA), ("fleet", SHA), (URL, "12"), (URL, "x" * 64)])
def test_a_wrong_address_or_fingerprint_makes_no_label(tmp_path: Path, url: str, sha: str) -> None:
    assert run(tmp_path / "out", url=url, sha=sha) == 1


def test_another_reader_of_qr_codes_finds_the_link() -> None:
    """Also with a scratch over it, a sixteenth of the label's side wide."""
    link = make_link("https://fleet.example", make_code())
    label = Image.open(io.BytesIO(draw(link, "png"))).convert("L")
    assert [found.text for found in zxingcpp.read_barcodes(label)] == [link]
    side = label.width
    ImageDraw.Draw(label).line((side * 0.4, side * 0.3, side * 0.7, side * 0.75), fill=255, width=side // 16)
    (found,) = zxingcpp.read_barcodes(label)
    assert (found.text, found.format) == (link, zxingcpp.BarcodeFormat.QRCode)
