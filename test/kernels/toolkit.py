"""Programs of a CUDA toolkit, looked for where sinter-compile looks for ptxas."""

import os
import shutil

SKIPPED = 77  # the exit status that ctest counts as skipped


def find(name):
    """The path of a program of the toolkit, or None."""
    named = os.environ.get("SINTER_CUDA")
    if named:
        return None if named == "none" else shutil.which(os.path.join(named, "bin", name))
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"]
    places = [os.path.join(home, "bin") for home in homes if home]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(places))
