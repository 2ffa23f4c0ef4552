"""<NAME>_FILE: a secret of the settings, read from a file."""

from pathlib import Path

import pytest

from worker.settings.settings import IN_FILES, SettingsError, load

VALUES = {
    "AUTHENTICATION_API_KEY": "topsecret",
    "DATABASE_CONNECTION_URI": "postgresql://u:topsecret@h/db",
    "EGRESS_PROXY": "http://u:topsecret@h:3128",
    "HISTORY_DATABASE_URI": "postgresql://u:topsecret@h/history",
    "INSTANCE_TOKENS_URI": "postgresql://u:topsecret@h/evolution",
    "OPS_WEBHOOK_SECRET": "whsec_dG9wc2VjcmV0dG9wc2VjcmV0dG9wc2VjcmV0",
    "OPS_WEBHOOK_URL": "https://u:topsecret@h/x",
    "RABBITMQ_URI": "amqp://u:topsecret@h/v",
    "WEBHOOK_GLOBAL_URL": "https://u:topsecret@h/x",
    "WEBHOOK_SECRET_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
}


def problems(environ: dict[str, str], config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(environ, config)
    return "\n".join(caught.value.problems)


def test_every_secret_can_stand_in_a_file() -> None:
    assert set(VALUES) == set(IN_FILES)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", IN_FILES)
def test_it_means_what_the_setting_itself_would(name: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes((VALUES[name] + end).encode())
    expected = load({name: VALUES[name]}, None)[0]
    assert load({f"{name}_FILE": str(file)}, None)[0] == expected
    config = tmp_path / "worker.toml"
    config.write_text(f'{name.lower()}_file = "{file}"')
    assert load({}, config)[0] == expected


def test_the_environment_wins_over_the_file_whichever_names_a_secret_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-the-file")
    config = tmp_path / "worker.toml"
    config.write_text('authentication.api_key = "plain"')
    environ = {"AUTHENTICATION_API_KEY_FILE": str(tmp_path / "secret")}
    assert load(environ, config)[0].authentication_api_key == "from-the-file"


@pytest.mark.parametrize("name", IN_FILES)
def test_what_cannot_be_read_is_a_problem_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    key = f"{name}_FILE"
    told = {"none": "No such file", ".": "Is a directory", "empty": "not empty", "bytes": "UTF-8"}
    for path, reason in told.items():
        found = problems({key: str(tmp_path / path)})
        assert found.startswith(f"{key} (environment): must be the path of a file")
        assert reason in found
    assert f"must not be set beside {name}" in problems({key: str(tmp_path / "empty"), name: VALUES[name]})


def test_the_secret_itself_in_place_of_the_path_is_not_shown() -> None:
    assert "topsecret" not in problems({"RABBITMQ_URI_FILE": VALUES["RABBITMQ_URI"]})


def test_a_wrong_value_in_a_file_is_told_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "uri").write_text("amqp://u:top#secret@h/")
    found = problems({"RABBITMQ_URI_FILE": str(tmp_path / "uri"), "LOG_LEVEL": "loud"})
    assert "RABBITMQ_URI_FILE='amqp://***@h" in found
    assert "%23" in found
    assert "LOG_LEVEL" in found
    assert "secret" not in found
