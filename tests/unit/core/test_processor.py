from autoseg.core.processor import first_model_name, processor_name


def test_linux_names_the_processor():
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2:1 GHz\nmodel name\t: Another\n"
    assert first_model_name(text) == "Some CPU @ 2:1 GHz"


def test_other_descriptions_name_none():
    assert first_model_name("processor\t: 0\nBogoMIPS : 1\n") is None


def test_this_machine_has_a_processor():
    assert processor_name()
