"""Promises of rmqkit.settings: precedence, and errors that name where a value came from."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from rmqkit.cluster import images
from rmqkit.errors import UsageError
from rmqkit.settings import DEFAULT_EDITION, Settings


def test_with_nothing_set_the_defaults_hold() -> None:
    settings = Settings.read(environ={})
    assert settings == Settings()
    assert settings.edition == DEFAULT_EDITION
    assert settings.timeout_s == 90.0
    assert not settings.keep
    assert settings.namesrv is None


def test_the_images_and_the_settings_mean_the_same_default_edition() -> None:
    """``cluster`` must not import ``settings``, so the name stands in two places."""
    assert images.DEFAULT_EDITION == DEFAULT_EDITION


def test_an_option_wins_over_the_environment_and_that_over_the_ini_file() -> None:
    ini, environ, options = {"namesrv": "ini:1"}, {"RMQKIT_NAMESRV": "env:1"}, {"namesrv": "option:1"}
    assert Settings.read(environ={}, ini=ini).namesrv == "ini:1"
    assert Settings.read(environ=environ, ini=ini).namesrv == "env:1"
    assert Settings.read(environ=environ, ini=ini, options=options).namesrv == "option:1"


def test_an_option_that_was_not_given_and_an_empty_variable_hide_nothing() -> None:
    read = Settings.read(environ={"RMQKIT_NAMESRV": ""}, ini={"namesrv": "ini:1"}, options={"namesrv": None})
    assert read.namesrv == "ini:1"


def test_an_option_that_says_no_wins_too() -> None:
    assert not Settings.read(environ={"RMQKIT_KEEP": "1"}, options={"keep": False}).keep


def test_a_unit_is_part_of_the_field_but_not_of_the_variable() -> None:
    assert Settings.read(environ={"RMQKIT_TIMEOUT": "12.5"}).timeout_s == 12.5


@pytest.mark.parametrize(("word", "meaning"), [("1", True), ("yes", True), ("ON", True), ("0", False), ("No", False)])
def test_flags_have_the_usual_words(word: str, meaning: bool) -> None:
    assert Settings.read(environ={"RMQKIT_KEEP": word}).keep is meaning


@pytest.mark.parametrize(
    ("sources", "text"),
    [
        ({"environ": {"RMQKIT_TIMEOUT": "soon"}}, "environment variable RMQKIT_TIMEOUT: 'soon' is not a number"),
        ({"environ": {"RMQKIT_TIMEOUT": "nan"}}, "environment variable RMQKIT_TIMEOUT: 'nan' is not a number"),
        ({"environ": {}, "options": {"timeout_s": 0}}, "option timeout: 0 is not a number of seconds"),
        ({"environ": {}, "options": {"timeout_s": -3.0}}, "option timeout: -3.0 is not a number of seconds"),
        ({"environ": {}, "options": {"timeout_s": 86_400}}, "option timeout: 86400 is not a number of seconds"),
        ({"environ": {}, "ini": {"timeout_s": "x"}}, "ini option rmq_timeout: 'x' is not a number of seconds"),
        ({"environ": {"RMQKIT_KEEP": "maybe"}}, "environment variable RMQKIT_KEEP: 'maybe' is neither true nor false"),
        (
            {"environ": {"RMQKIT_CA_BUNDLE": "/no/such"}},
            "environment variable RMQKIT_CA_BUNDLE: /no/such is not a file",
        ),
        ({"environ": {}, "options": {"maven_settings": "/no"}}, "option maven-settings: /no is not a file"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_source(sources: dict[str, dict], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.read(**sources)
    assert text in str(caught.value)
    assert caught.value.hint


def test_the_machines_ca_bundle_is_used_for_builds(tmp_path: Path) -> None:
    bundle, other = tmp_path / "bundle.pem", tmp_path / "other.pem"
    bundle.touch()
    other.touch()
    assert Settings.read(environ={"SSL_CERT_FILE": str(bundle)}).ca_bundle == bundle
    environ = {"SSL_CERT_FILE": str(bundle), "RMQKIT_CA_BUNDLE": str(other)}
    assert Settings.read(environ=environ).ca_bundle == other


def test_another_tools_variable_that_names_no_file_is_no_error_of_use(tmp_path: Path) -> None:
    """``requests`` takes a folder too, and a stale SSL_CERT_FILE must not break somebody's whole test suite."""
    bundle = tmp_path / "bundle.pem"
    bundle.touch()
    assert Settings.read(environ={"SSL_CERT_FILE": "/no/such", "REQUESTS_CA_BUNDLE": str(tmp_path)}).ca_bundle is None
    environ = {"SSL_CERT_FILE": "/no/such", "CURL_CA_BUNDLE": str(bundle)}
    assert Settings.read(environ=environ).ca_bundle == bundle


def test_settings_cannot_change_after_they_were_read() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().keep = True  # type: ignore[misc]
