"""Which packages the wheel holds; everything else about them is in setup.cfg."""

from setuptools import find_packages, setup

# Folders of the repository that are packages of the wheel; setup.cfg says where they lie and what they bring.
BESIDE = ["recbole_marn.benchmarks", "recbole_marn.dataset_atomic", "recbole_marn.properties"]

setup(packages=[*find_packages(include=["recbole_marn", "recbole_marn.*"]), *BESIDE])
