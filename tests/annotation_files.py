"""Writers of annotation files of one scene: a leaf with or without a hole, and a stem.

Corners are (x, y) in pixels of a picture with 20 rows and 30 columns.
"""

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from synthetic import write_picture

ROWS, COLUMNS = 20, 30
LEAF = [(2, 2), (14, 2), (14, 14), (2, 14), (1, 8)]
HOLE = [(5, 5), (9, 5), (9, 9), (5, 9)]
STEM = [(18, 4), (26, 4), (26, 16)]

LEAF_PIXELS, HOLE_PIXELS, STEM_PIXELS = 150, 16, 48
"""Numbers of pixels whose centre is inside, of the outlines without holes."""


def put_photos(root: Path, *paths: str) -> None:
    for seed, path in enumerate(paths):
        random = np.random.default_rng(seed)
        write_picture(random.integers(0, 256, (ROWS, COLUMNS, 3), np.uint8), root / path)


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def coco(path: Path, image: str, **more: object) -> None:
    outlines = [(3, LEAF), (5, STEM)]
    content = {
        "images": [{"id": 7, "file_name": image, "height": ROWS, "width": COLUMNS}],
        "categories": [{"id": 3, "name": "leaf"}, {"id": 5, "name": "stem"}],
        "annotations": [
            {"image_id": 7, "category_id": number, "segmentation": [list(sum(outline, ()))]}
            for number, outline in outlines
        ],
    }
    write(path, content | more)


def labelme(path: Path, image: str, *more: object) -> None:
    shapes = [{"label": "leaf", "points": LEAF}, {"label": "stem", "points": STEM}]
    write(path, {"version": "5", "imagePath": image, "shapes": [*shapes, *more]})


def feature(outlines: object, name: str | None, kind: str = "annotation", **more: object) -> object:
    closed = [[*outline, outline[0]] for outline in outlines]
    geometry = {"type": "Polygon", "coordinates": closed} | more
    properties = {"objectType": kind} | ({"classification": {"name": name}} if name else {})
    return {"type": "Feature", "id": "1", "geometry": geometry, "properties": properties}


def geojson(path: Path, *more: object, is_list: bool = False) -> None:
    features = [feature([LEAF, HOLE], "leaf"), feature([STEM], "stem"), *more]
    write(path, features if is_list else {"type": "FeatureCollection", "features": features})


def region(outline: object, **attributes: str) -> str:
    written = "".join(f' {key}="{value}"' for key, value in attributes.items())
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in outline)
    return f"<Region{written}><Vertices>{vertices}</Vertices></Region>"


def layer(regions: str, name: str = "", attribute: str = "", colour: int = 65280) -> str:
    return (
        f'<Annotation Id="1" Name="{name}" LineColor="{colour}"><Attributes><Attribute Id="0" '
        f'Name="{attribute}" Value=""/></Attributes><Regions><RegionAttributeHeaders/>{regions}'
        "</Regions></Annotation>"
    )


def imagescope(path: Path) -> None:
    leaf = region(LEAF, Type="0", NegativeROA="0") + region(HOLE, Type="0", NegativeROA="1")
    layers = layer(leaf, "leaf") + layer(region(STEM), attribute="stem")
    write(path, f'<Annotations MicronsPerPixel="0.25">{layers}</Annotations>')


def asap(path: Path) -> None:
    def annotation(outline: list[tuple[int, int]], group: str) -> str:
        points = list(enumerate(outline))
        corners = "".join(
            f'<Coordinate Order="{order}" X="{x},0" Y="{y}.0"/>' for order, (x, y) in points[::-1]
        )
        marks = f'Name="Annotation 0" Type="Polygon" PartOfGroup="{group}"'
        return f"<Annotation {marks}><Coordinates>{corners}</Coordinates></Annotation>"

    shapes = annotation(LEAF, "leaf") + annotation(STEM, "stem")
    write(
        path,
        f"<?xml version='1.0'?><ASAP_Annotations><Annotations>{shapes}</Annotations>"
        "<AnnotationGroups/></ASAP_Annotations>",
    )


def cvat_polygon(outline: object, label: str, order: int = 0) -> str:
    points = ";".join(f"{x:.2f},{y:.2f}" for x, y in outline)
    return f'<polygon label="{label}" occluded="0" points="{points}" z_order="{order}"></polygon>'


def cvat(path: Path, image: str, more: str = "", subset: str = "default") -> None:
    marks = cvat_polygon(LEAF, "leaf") + cvat_polygon(STEM, "stem") + more
    size = f'width="{COLUMNS}" height="{ROWS}"'
    write(
        path,
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>'
        f'<image id="0" name="{image}" subset="{subset}" {size}>{marks}</image></annotations>',
    )


def via(path: Path, image: str, *more: object, is_project: bool = False) -> None:
    def marked(outline: list[tuple[int, int]], name: str) -> object:
        x, y = zip(*outline, strict=True)
        shape = {"name": "polygon", "all_points_x": x, "all_points_y": y}
        return {"shape_attributes": shape, "region_attributes": {"class": name}}

    regions = [marked(LEAF, "leaf"), marked(STEM, "stem"), *more]
    entry = {"filename": image, "size": 1000, "regions": regions, "file_attributes": {}}
    images = {f"{image}1000": entry}
    write(path, {"_via_settings": {}, "_via_img_metadata": images} if is_project else images)


def png(mask: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(mask).save(data, "PNG")
    return data.getvalue()


def supervisely(path: Path) -> None:
    rows, columns = np.mgrid[4:16, 18:26] + 0.5
    stem = rows - 4 < (columns - 18) * 1.5
    data = base64.b64encode(zlib.compress(png(stem))).decode()
    objects = [
        {
            "classTitle": "leaf",
            "geometryType": "polygon",
            "points": {"exterior": LEAF, "interior": [HOLE]},
        },
        {
            "classTitle": "stem",
            "geometryType": "bitmap",
            "bitmap": {"data": data, "origin": [18, 4]},
        },
    ]
    write(path, {"size": {"height": ROWS, "width": COLUMNS}, "objects": objects})


def label_studio(path: Path, image: str, *more: object, times: int = 1) -> None:
    def result(outline: list[tuple[int, int]], name: str) -> object:
        points = [(100 * x / COLUMNS, 100 * y / ROWS) for x, y in outline]
        value = {"points": points, "polygonlabels": [name]}
        size = {"original_width": COLUMNS, "original_height": ROWS, "image_rotation": 0}
        return {"type": "polygonlabels", "value": value} | size

    made = {"result": [result(LEAF, "leaf"), result(STEM, "stem"), *more]}
    task = {"id": 1, "data": {"image": image}, "annotations": [made] * times, "predictions": []}
    write(path, [task])


def yolo(path: Path, more: str = "") -> None:
    rows = [
        f"{number} " + " ".join(f"{x / COLUMNS:.6f} {y / ROWS:.6f}" for x, y in outline)
        for number, outline in ((0, LEAF), (1, STEM))
    ]
    write(path, "\n".join([*rows, more]))
