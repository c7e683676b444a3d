from autoseg.core import processor
from autoseg.core.processor import processor_name


def test_linux_names_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2:1 GHz\nmodel name\t: Another\n"
    processor.CPU_INFO.write_text(text)
    assert processor_name() == "Some CPU @ 2:1 GHz"


def test_without_a_name_the_architecture_is_returned(tmp_path, monkeypatch):
    monkeypatch.setattr(processor, "CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "x86_64")
    assert processor_name() == "x86_64"
    for text in ("processor\t: 0\nBogoMIPS : 1\n", "model name\t: \nBogoMIPS : 1\n"):
        processor.CPU_INFO.write_text(text)
        assert processor_name() == "x86_64"


def test_this_machine_has_a_processor():
    assert processor_name()
