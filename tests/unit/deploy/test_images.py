"""The images and the Ray cluster made of them: what they name is there, and nobody is let in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.backends import WHERE_IT_WORKS
from infra.deploy.rehearse import context_files, instructions

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "infra/deploy"
IMAGES = sorted(DEPLOY.glob("Dockerfile*"))


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_copies_what_is_there_and_runs_as_nobody_in_particular(path: Path) -> None:
    steps = list(instructions(path))
    copied = [source for name, given in steps if name == "COPY" for source in given.split()[:-1]]
    assert all((ROOT / source).exists() for source in copied)
    installed = {lock for _, given in steps for lock in re.findall(r"-r (\S+)", given)}
    assert installed <= {Path(source).name for source in copied}
    assert [given for name, given in steps if name == "USER"] == ["rzero"]
    assert "--uid 1000" in " ".join(given for name, given in steps if name == "RUN")


def test_the_image_for_gpus_has_both_environments_and_a_compiler() -> None:
    steps = list(instructions(DEPLOY / "Dockerfile.gpu"))
    commands = " ".join(given for name, given in steps if name == "RUN")
    variables = " ".join(given for name, given in steps if name == "ENV")
    interpreter = re.findall(rf"{WHERE_IT_WORKS['python']}=(\S+)", variables)
    assert interpreter == ["/opt/verl/bin/python"]
    assert "python -m venv /opt/verl &&" in commands
    assert "/opt/verl/bin/pip install --no-deps -r requirements-verl-gpu.lock" in commands
    assert "requirements.lock" in commands
    assert re.search(r"apt-get install .*\bgcc libc6-dev\b", commands)
    assert "PATH=${PATH}:/opt/verl/bin" in variables


def test_whatever_the_plain_image_runs_the_one_for_gpus_runs_too() -> None:
    plain, gpu = ([given for name, given in instructions(path) if name == "RUN"] for path in IMAGES)
    assert IMAGES[0].name == "Dockerfile"
    assert plain
    assert set(plain) <= set(gpu)


def test_an_image_holds_the_code_and_nothing_that_was_made_beside_it(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text())
    ignored = [line.strip("/") for line in (ROOT / ".gitignore").read_text().split()]
    made = [name.replace("*", "rzero") for name in ignored]
    for name in [*made, ".git", "tasks/__pycache__", "data"]:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "file").write_text("")
    assert context_files(tmp_path) == [".dockerignore", "data/file"]


def test_each_node_of_the_ray_cluster_asks_for_the_token_and_has_room_and_gpus() -> None:
    cluster = _documents()["RayCluster"]
    assert (
        f"ray=={cluster['spec']['rayVersion']}" in (ROOT / "requirements-verl-gpu.lock").read_text().split()
    )
    head, workers = cluster["spec"]["headGroupSpec"], cluster["spec"]["workerGroupSpecs"][0]
    for group in (head, workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        environment = {each["name"]: each for each in container["env"]}
        assert environment["RAY_AUTH_MODE"]["value"] == "token"
        secret = environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
        assert secret == {"name": "rzero-ray", "key": "auth_token"}
        assert container["resources"]["limits"]["nvidia.com/gpu"] > 0
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container["volumeMounts"]}
        assert mounted["/dev/shm"]["emptyDir"]["medium"] == "Memory"
        assert mounted["/work"]["persistentVolumeClaim"]["claimName"] == "rzero-work"
        assert pod["securityContext"]["runAsUser"] == 1000
    ((command,), (of_workers,)) = (
        group["template"]["spec"]["containers"][0]["args"] for group in (head, workers)
    )
    assert "prefect worker start" in command
    assert "prefect" not in of_workers
    assert workers["template"]["spec"]["containers"][0]["envFrom"] == []


def test_only_its_own_nodes_reach_the_ray_cluster_and_they_share_a_volume() -> None:
    documents = _documents()
    policy = documents["NetworkPolicy"]["spec"]
    nodes = {"matchLabels": {"ray.io/cluster": documents["RayCluster"]["metadata"]["name"]}}
    assert policy["podSelector"] == nodes
    assert policy["ingress"] == [{"from": [{"podSelector": nodes}]}]
    assert documents["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def _documents() -> dict[str, dict[str, Any]]:
    text = (DEPLOY / "ray-cluster.yaml").read_text()
    return {document["kind"]: document for document in yaml.safe_load_all(text)}
