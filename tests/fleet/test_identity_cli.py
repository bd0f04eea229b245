"""``fengsui-fleet ca``, ``claim``, ``enrolment`` and ``certificate``, as an operator types them."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest

from fleet.authority import store
from fleet.cli import main
from fleet.settings import load
from provisioning.codes import hash_code, make_code
from provisioning.errors import AuthorityError
from tests.fleet.identity import GATEWAY


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "fleet"
    assert main(["init", "--data", str(folder)]) == 0
    return folder


def run(data: Path, *words: str | Path) -> int:
    return main([*map(str, words), "--data", str(data)])


def openssl(*words: str | Path) -> str:
    done = subprocess.run(["openssl", *map(str, words)], capture_output=True, text=True, check=True)
    return done.stdout


def test_init_makes_an_authority_whose_keys_are_encrypted_and_closed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "ca", "init", "--root", tmp_path / "root") == 0
    said = capsys.readouterr().out
    assert "delete it here" in said
    passphrase = re.search(r"shown this once\) is: (\S+)", said)
    assert passphrase is not None
    keys = [*(tmp_path / "root").glob("*.key"), *(data / "ca").glob("*.key")]
    assert len(keys) == 4
    for key in keys:
        assert key.stat().st_mode & 0o777 == 0o600
        assert b"ENCRYPTED" in key.read_bytes()
    given = ("-passin", f"pass:{passphrase[1]}")
    assert "prime256v1" in openssl("pkey", "-in", tmp_path / "root/gateways-root.key", *given, "-noout", "-text")
    assert run(data, "ca", "init", "--root", tmp_path / "other") == 1
    assert not (tmp_path / "other").exists()
    assert run(data, "ca", "show") == 0
    assert re.search(r'ca_sha256 = "[0-9a-f]{64}"', capsys.readouterr().out)


def test_roots_on_another_machine_sign_what_the_fleet_requests(data: Path, tmp_path: Path) -> None:
    root, secret = tmp_path / "stick", tmp_path / "passphrase"
    secret.write_text("correct horse\n")
    assert main(["ca", "root", "--root", str(root), "--passphrase-file", str(secret)]) == 0
    assert main(["ca", "root", "--root", str(root), "--passphrase-file", str(secret)]) == 1
    assert run(data, "ca", "request") == 0
    requests = [data / "ca" / f"{name}.csr" for name in ("gateways", "services")]
    words = ["ca", "intermediate", *map(str, requests), "--root", str(root)]
    secret.write_text("wrong\n")
    assert main([*words, "--passphrase-file", str(secret)]) == 1
    secret.write_text("correct horse\n")
    moved = []
    for request in requests:
        moved.append(tmp_path / request.name)
        moved[-1].write_bytes(request.read_bytes())
    words = ["ca", "intermediate", *map(str, moved), "--root", str(root)]
    assert main([*words, "--passphrase-file", str(secret)]) == 0
    assert run(data, "ca", "import", "gateways", tmp_path / "services.crt") == 1
    for name in ("gateways", "services"):
        assert run(data, "ca", "import", name, tmp_path / f"{name}.crt") == 0
    assert run(data, "ca", "server", "fleet.example", "--out", tmp_path / "web") == 0
    chain, trusted = data / "ca/services.crt", root / "services-root.crt"
    openssl(
        "verify", "-CAfile", trusted, "-untrusted", chain, "-verify_hostname", "fleet.example", tmp_path / "web.crt"
    )
    assert (tmp_path / "web.key").stat().st_mode & 0o777 == 0o600


def test_an_outside_authority_signs_with_openssl(data: Path, tmp_path: Path) -> None:
    assert run(data, "ca", "request") == 0
    key, root, made = tmp_path / "outside.key", tmp_path / "outside.crt", tmp_path / "gateways.crt"
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    made_by = ("-keyout", key, "-out", root, "-days", "30", "-subj", "/CN=X", *usage)
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", *made_by)
    words = ("x509", "-req", "-in", data / "ca/gateways.csr", "-CA", root, "-CAkey", key, "-days", "20")
    openssl(*words, "-out", made, "-CAcreateserial")
    assert run(data, "ca", "import", "gateways", made, root) == 1  # it is no authority
    extensions = tmp_path / "extensions"
    extensions.write_text("basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n")
    openssl(*words, "-out", made, "-CAcreateserial", "-extfile", extensions)
    assert run(data, "ca", "import", "gateways", made) == 1  # its root is missing
    assert run(data, "ca", "import", "gateways", made, root) == 0
    assert run(data, "ca", "import", "services", made, root) == 1  # it is for another key
    settings = load(data)
    assert store.find(settings, store.Purpose.GATEWAYS, "crt").exists()
    with pytest.raises(Exception, match="no authority for services"):
        store.load(settings, time.time_ns())


def test_a_passphrase_that_went_missing_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "ca", "init", "--root", tmp_path / "root") == 0
    (data / "ca/passphrase").unlink()
    assert run(data, "ca", "show") == 1
    assert "ca_passphrase_file" in capsys.readouterr().err
    assert isinstance(AuthorityError("x").hint, str)


def test_claims_are_imported_whole_or_not_at_all_with_the_lines_that_are_wrong(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = (hash_code(make_code()) for _ in range(2))
    file = tmp_path / "claims.csv"
    lines = [
        "secret_sha256,gateway,site", f"{one},gw-yufu-0001,", "12,gw-yufu-0002,", f"{two},GW,", f"{one},gw-yufu-0003,",
        f"{two},gw-yufu-0001,", f"{two},gw-yufu-0004,nowhere", f"{two}",
    ]  # fmt: skip
    file.write_text("\n".join(lines))
    assert run(data, "claim", "import", file) == 1
    said = capsys.readouterr().err
    for words in ("line 3: the hash", "line 4: 'GW'", "line 5: there is a claim", "line 6: another claim",
                  "line 7: there is no site", "line 8: it has not as many fields", "nothing was imported"):  # fmt: skip
        assert words in said
    file.write_text("\n".join([*lines[:2], f"{two},,"]))
    assert run(data, "claim", "import", file) == 0
    assert "claims imported: 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (b"", "no column secret_sha256"),
        (b"gateway\n", "no column secret_sha256"),
        (b"secret_sha256,colour\n", "unknown column 'colour'"),
        (b"\xff\xfe", "cannot be read"),
        (b'secret_sha256\n"a', "not CSV"),
    ],
)
def test_what_is_no_list_of_claims_is_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], octets: bytes, words: str
) -> None:
    (tmp_path / "claims.csv").write_bytes(octets)
    assert run(data, "claim", "import", tmp_path / "claims.csv") == 1
    assert words in capsys.readouterr().err


def test_claims_certificates_and_the_queue_by_hand(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "ca", "init", "--root", tmp_path / "root") == 0
    assert run(data, "claim", "add", "--gateway", GATEWAY, "--days", "7") == 0
    assert run(data, "claim", "add", "--gateway", GATEWAY) == 1
    assert run(data, "claim", "withdraw", "1") == 0
    assert run(data, "claim", "withdraw", "9") == 1
    assert run(data, "claim", "scan", make_code(), "ab" * 32, "--gateway", GATEWAY) == 0
    assert run(data, "claim", "scan", "1234", "ab" * 32, "--gateway", GATEWAY) == 1
    assert run(data, "claim", "scan", make_code(), "ab", "--gateway", GATEWAY) == 1
    assert run(data, "enrolment", "list") == 0
    assert run(data, "enrolment", "approve", "1") == 1
    assert run(data, "enrolment", "refuse", "1") == 1
    assert run(data, "enrolment", "journal") == 0
    assert "claim-withdrawn" in capsys.readouterr().out
    assert run(data, "certificate", "list", GATEWAY) == 0
    assert run(data, "certificate", "revoke", GATEWAY, "--why", "stolen") == 1
    assert run(data, "certificate", "crl") == 0
    assert "Next Update" in openssl("crl", "-in", data / "ca/gateways.crl", "-noout", "-text")


def test_what_is_done_by_command_stands_in_the_audit_log(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, "ca", "init", "--root", tmp_path / "root") == 0
    assert run(data, "ca", "server", "127.0.0.1", "--out", tmp_path / "web") == 0
    assert run(data, "claim", "add", "--gateway", GATEWAY) == 0
    assert run(data, "claim", "withdraw", "1") == 0
    assert run(data, "claim", "withdraw", "2") == 1
    assert run(data, "audit", "verify") == 0
    capsys.readouterr()
    assert run(data, "audit", "export") == 0
    newest_first = capsys.readouterr().out.splitlines()
    done = [line for line in reversed(newest_first) if any(word in line for word in ("ca.", "claim."))]
    for line, words in zip(done, ("ca.init", "ca.server", "claim.add", "claim.withdraw"), strict=True):
        assert words in line
