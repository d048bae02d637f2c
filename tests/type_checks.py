"""What checks annotations, shapes of tensors among them, while the tests run."""

from beartype import BeartypeConf, beartype

# As type checkers have it, an int may stand where a float is asked for.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
