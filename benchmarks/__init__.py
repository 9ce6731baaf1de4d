"""The speed suite: every claim about speed and memory as a gate that anyone can run (`recbole-marn bench`)."""
