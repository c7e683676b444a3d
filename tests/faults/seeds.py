"""Valid inputs that are mutated: a small one of every format and every document."""

import gzip
import io
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import annotation_files
import dicom_files
import h5py
import nnunet_folder
import numpy as np
import tifffile
import torch
import zarr_folders
from faults.inputs import Seed, files_in
from PIL import Image
from synthetic import write_picture, write_volume
from torch import nn

from autoseg.architectures import NetworkOutput
from autoseg.documents.recipe import Recipe
from autoseg.readers import ENDINGS
from autoseg.training.checkpoint import save_checkpoint
from autoseg.training.state import TrainingState

VOLUME = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5) % 3
PLANE = (np.arange(6 * 8, dtype=np.uint8) % 3).reshape(6, 8)
BY_PIL = (".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".pbm", ".png")


def make_seeds(world: Path, temporary: Path) -> list[Seed]:
    """Make all seeds; a temporary folder is used and deleted."""
    made = []
    for maker in (_images, _datasets, _annotations, _from_world, _models):
        made += maker(world, temporary)
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _images(world: Path, temporary: Path) -> Iterator[Seed]:
    """Yield images of every format."""
    for ending in ENDINGS:
        path = temporary / ending / f"case{ending}"
        path.parent.mkdir(parents=True)
        inner = write_image(path, ending)
        files = _below("case", files_in(path.parent))
        files["path.txt"] = f"case{ending}{inner}".encode()
        yield Seed(f"image {ending}", "read_image_file", files, "case/")


def _below(folder: str, files: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": part for name, part in files.items()}


def write_image(path: Path, ending: str) -> str:
    """Write a small image of a format; return the path inside of a container."""
    if ending in BY_PIL:
        Image.fromarray(PLANE * 100).convert("1" if ending == ".pbm" else "L").save(path)
    elif ending.endswith("m.gz"):
        stream = io.BytesIO()
        kind = "1" if ending == ".pbm.gz" else "RGB" if ending == ".ppm.gz" else "L"
        Image.fromarray(PLANE).convert(kind).save(stream, "PPM")
        path.write_bytes(gzip.compress(stream.getvalue(), mtime=0))
    elif ending in (".h5", ".hdf5", ".hdf"):
        with h5py.File(path, "w") as file:
            file["raw"] = VOLUME
            file["raw"].attrs["element_size_um"] = (0.5, 0.1, 0.1)
        return "/raw"
    elif ending == ".npy":
        np.save(path, VOLUME[None])
    elif ending == ".npz":
        np.savez_compressed(path, image=VOLUME[None])
    elif ending.endswith(".zarr"):
        zarr_folders.write_ome(path, [VOLUME], "zyx", {"z": (2.0, "millimeter")}, version=2)
    elif ending.endswith((".tif", ".tiff")):
        axes = {"axes": "ZYX", "PhysicalSizeX": 0.5} if "ome" in ending else {"axes": "ZYX"}
        is_ome = "ome" in ending
        tifffile.imwrite(path, VOLUME, metadata=axes, ome=is_ome, imagej=not is_ome)
    elif ending in (".dcm", ".dicom", ".ima"):
        dicom_files.save(dicom_files.slices(VOLUME)[:1], path.parent, path.name)
    else:
        write_volume(VOLUME, path, spacing=(2.0, 1.0, 0.5))
    return ""


def _datasets(world: Path, temporary: Path) -> Iterator[Seed]:
    """Yield datasets with the documents and tables that describe them."""
    balls = files_in(world / "Task90_Balls")
    small = {name: part for name, part in balls.items() if name.endswith(("0.nii.gz", "1.nii.gz"))}
    listed = json.loads(balls["dataset.json"])
    listed["training"] = listed["training"][:2]
    names = [Path(pair["image"]).name.removesuffix(".nii.gz") for pair in listed["training"]]
    folds = [{"train": names[:1], "val": names[1:]}, {"train": names[1:], "val": names[:1]}]
    documents = {
        "dataset.json": json.dumps(listed),
        "splits_final.json": json.dumps(folds),
        "groups.json": json.dumps(dict.fromkeys(names, "a")),
    }
    for document, text in documents.items():
        files = _below("dataset", {**small, document: text.encode()})
        yield Seed(f"document {document}", "plan_dataset", files, document)
    yield Seed("dataset of volumes", "plan_dataset", _below("dataset", small))
    for index, name in enumerate(names):
        write_picture(np.stack([PLANE * 90 + index] * 3, -1), temporary / "images" / f"{name}.png")
        write_picture(PLANE, temporary / "labels" / f"{name}.png")
    pictures = files_in(temporary)
    yield Seed("dataset of pictures", "plan_dataset", _below("dataset", pictures))
    tables = {
        "classes.csv": "value,name\n1,leaf\n2,stem\n",
        "classes.txt": "0 background\n1 leaf\n2 stem\n",
        "class_dict.csv": "name,r,g,b\nleaf,1,1,1\nstem,2,2,2\n",
        "labels.json": '{"1": "leaf", "2": "stem"}',
        "cases.csv": "image,label,group\n"
        + "".join(f"images/{name}.png,labels/{name}.png,a\n" for name in names),
    }
    for name, text in tables.items():
        files = _below("dataset", {**pictures, name: text.encode()})
        yield Seed(f"table {name}", "plan_dataset", files, name)
    layout = {"image": ["images/{case}.png"], "label": ["labels/{case}.png"], "mask": "values"}
    layout |= {"label_map": {"0": "background", "1": "leaf", "2": "stem"}}
    files = _below("dataset", pictures) | {"layout.json": json.dumps(layout).encode()}
    yield Seed("layout file", "plan_dataset", files, "layout.json")


def _annotations(world: Path, temporary: Path) -> Iterator[Seed]:
    """Yield pictures with annotations of every format."""
    makers = {
        "coco": lambda root: annotation_files.coco(root / "annotations.json", "a.png"),
        "labelme": lambda root: annotation_files.labelme(root / "a.json", "a.png"),
        "geojson": lambda root: annotation_files.geojson(root / "a.geojson"),
        "imagescope": lambda root: annotation_files.imagescope(root / "a.xml"),
        "asap": lambda root: annotation_files.asap(root / "a.xml"),
        "cvat": lambda root: annotation_files.cvat(root / "annotations.xml", "a.png"),
        "via": lambda root: annotation_files.via(root / "via.json", "a.png"),
        "supervisely": lambda root: annotation_files.supervisely(root / "ann" / "a.png.json"),
        "label_studio": lambda root: annotation_files.label_studio(root / "project.json", "a.png"),
        "yolo": lambda root: annotation_files.yolo(root / "labels" / "a.txt"),
    }
    for name, maker in makers.items():
        root = temporary / name
        folder = {"supervisely": "img/", "yolo": "images/"}.get(name, "")
        annotation_files.put_photos(root, f"{folder}a.png")
        maker(root)
        files = _below("dataset", files_in(root))
        described = next(path for path in files if not path.endswith("/a.png"))
        yield Seed(f"annotations {name}", "plan_dataset", files, described)


def _from_world(world: Path, temporary: Path) -> Iterator[Seed]:
    """Yield documents, models and prepared cases that commands have written."""
    selected = files_in(world / "selected")
    work = {
        name: part
        for name, part in selected.items()
        if name.endswith((".json", "weights.safetensors")) and "preprocessed" not in name
    }
    for document in ("dataset.json", "fingerprint.json", "plan.json", "splits.json"):
        files = _below("work", work)
        yield Seed(f"document work/{document}", "load_work_folder", files, f"work/{document}")
    yield Seed("work folder", "load_work_folder", _below("work", work))
    model = next(part for name, part in selected.items() if name.endswith(".autoseg"))
    yield Seed("model file", "load_model_file", {"model.autoseg": model})
    case = next((world / "selected").glob("preprocessed/*/*"))
    yield Seed("prepared case", "read_prepared_case", _below("case", files_in(case)))
    scored = files_in(world / "predictions"), files_in(world / "references")
    maps = {f"out/{name}": part for name, part in scored[0].items() if name.endswith(".gz")}
    yield Seed("label maps", "evaluate_folders", maps | _below("references", scored[1]))


def _models(world: Path, temporary: Path) -> Iterator[Seed]:
    """Yield models of nnU-Net and the checkpoint of a training."""
    model = files_in(nnunet_folder.write_model(temporary))
    for focus in (".json", ".pth"):
        yield Seed(f"nnU-Net {focus}", "import_model", _below("nnunet", model), focus)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, part in model.items():
            archive.writestr(f"nnUNetTrainer__nnUNetPlans__3d_fullres/{name}", part)
    yield Seed("nnU-Net zip", "import_model", {"model.zip": stream.getvalue()})
    path = temporary / "checkpoint.safetensors"
    save_checkpoint(new_state(), path, identity="a")
    yield Seed("checkpoint", "resume_training", {path.name: path.read_bytes()})


class OneConvolution(nn.Module):
    """The smallest network."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 2, 1)

    def forward(self, images: torch.Tensor) -> NetworkOutput:
        return NetworkOutput(self.head(images))


def new_state() -> TrainingState:
    """Return the state of a training before its first step."""
    network = OneConvolution()
    optimizer = Recipe().optimizer.build(tuple(network.parameters()))
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    return TrainingState(network, None, optimizer, scaler, epoch_steps=1)
