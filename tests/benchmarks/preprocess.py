"""Time to bring slices to one field of view, from arrays and from files, compared with other tools in one run.

    pip install monai torchio SimpleITK              # in a separate environment, with this library
    python tests/benchmarks/preprocess.py

Every implementation crops nine slices of 240 mm to 200 mm and resamples them to 256 x 256 pixels. From files, it first
reads a compressed NIfTI volume and brings it to one orientation. The implementations run alternately, each in its own
process; medians, ratios of medians and the growth of memory are printed. The lower bound of the time is, for arrays,
the time to copy input and output once and, for files, the time to decompress the part of the file with the slices.
"""

import argparse
import gzip
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from alternating import machine, run_alternately, work

N_SLICES, FOV_MM, CROPPED_MM, SIZE_PX, THICKNESS_MM = 9, 240.0, 200.0, 256, 1.0
N_VOLUME_SLICES, MIDDLE = 31, 17
PITCH_MM = CROPPED_MM / SIZE_PX


def example_stack(side):
    """Return smooth slices of shape (n_slices, side, side) with a little noise, float32."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 6 * np.pi, side, dtype=np.float32)
    waves = 500 + 200 * np.sin(grid)[:, None] * np.cos(1.3 * grid)
    return (waves + 20 * rng.standard_normal((N_SLICES, side, side))).astype(np.float32)


# From arrays: each takes slices of shape (n_slices, side, side) and returns (n_slices, 256, 256)


def ours(method="bicubic", *, antialias=True):
    from sklearn_pspd.preprocessing.interpolation import resample_stack

    def run(stack):
        spacing_mm = (FOV_MM / stack.shape[1],) * 2
        return resample_stack(
            stack, spacing_mm, fov_mm=CROPPED_MM, size_px=SIZE_PX, method=method, antialias=antialias, pad_value=0.0
        )

    return run


def monai():
    import torch
    from monai.data import MetaTensor
    from monai.transforms import ResizeWithPadOrCrop, Spacing

    torch.set_num_threads(os.cpu_count())
    resample = Spacing((PITCH_MM, PITCH_MM, THICKNESS_MM), mode="bilinear")
    crop = ResizeWithPadOrCrop((SIZE_PX, SIZE_PX, N_SLICES))

    def run(stack):
        pitch_mm = FOV_MM / stack.shape[1]
        affine = np.diag([pitch_mm, pitch_mm, THICKNESS_MM, 1])
        volume = MetaTensor(torch.from_numpy(stack.transpose(1, 2, 0)[None]), affine=torch.from_numpy(affine))
        return crop(resample(volume))[0].numpy().transpose(2, 0, 1)

    return run


def torchio():
    import torch
    import torchio as tio

    torch.set_num_threads(os.cpu_count())
    chain = tio.Compose(
        [
            tio.Resample((PITCH_MM, PITCH_MM, THICKNESS_MM), image_interpolation="linear"),
            tio.CropOrPad((SIZE_PX, SIZE_PX, N_SLICES)),
        ]
    )

    def run(stack):
        pitch_mm = FOV_MM / stack.shape[1]
        affine = np.diag([pitch_mm, pitch_mm, THICKNESS_MM, 1])
        image = tio.ScalarImage(tensor=torch.from_numpy(stack.transpose(1, 2, 0)[None]), affine=affine)
        return chain(image).numpy()[0].transpose(2, 0, 1)

    return run


def simpleitk(interpolator):
    import SimpleITK as sitk  # noqa: N813

    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(getattr(sitk, interpolator))
    resample.SetSize((SIZE_PX, SIZE_PX, N_SLICES))
    resample.SetOutputSpacing((PITCH_MM, PITCH_MM, THICKNESS_MM))

    def run(stack):
        image = sitk.GetImageFromArray(stack)
        pitch_mm = FOV_MM / stack.shape[1]
        image.SetSpacing((pitch_mm, pitch_mm, THICKNESS_MM))
        return sitk.GetArrayFromImage(_crop_with(resample, image))

    return run


def _crop_with(resample, image):
    """Resample the square about the centre of the slices."""
    centre_mm = [(n - 1) / 2 * spacing for n, spacing in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    start_mm = [c - (SIZE_PX - 1) / 2 * PITCH_MM for c in centre_mm[:2]]
    resample.SetOutputOrigin([o + s for o, s in zip(image.GetOrigin(), (*start_mm, 0.0), strict=True)])
    resample.SetOutputDirection(image.GetDirection())
    return resample.Execute(image)


def copy():
    return lambda stack: (stack.copy(), np.empty((N_SLICES, SIZE_PX, SIZE_PX), np.float32).fill(1))


FROM_ARRAYS = {
    "ours, bicubic, antialiased": ours,
    "ours, bilinear": lambda: ours("bilinear", antialias=False),
    "MONAI, linear": monai,
    "TorchIO, linear": torchio,
    "SimpleITK, linear": lambda: simpleitk("sitkLinear"),
    "SimpleITK, B-spline": lambda: simpleitk("sitkBSpline"),
    "copy of input and output": copy,
}

# From files: each takes a path and returns nine slices


def ours_from_file():
    import pandas as pd

    from sklearn_pspd import FOVNormalizer, SliceStackLoader

    loader, normalizer = SliceStackLoader(n_slices=N_SLICES), FOVNormalizer(fov_mm=CROPPED_MM, size_px=SIZE_PX)

    def run(path):
        X = pd.DataFrame({"patient_id": ["P"], "image": [str(path)], "lesion_slice": [MIDDLE]})
        return normalizer.fit_transform(loader.fit_transform(X))[0]

    return run


def monai_from_file():
    from monai.transforms import LoadImage, Orientation, ResizeWithPadOrCrop, Spacing

    load, orient = LoadImage(image_only=True, ensure_channel_first=True), Orientation("RAS")
    resample = Spacing((PITCH_MM, PITCH_MM, THICKNESS_MM), mode="bilinear")
    crop = ResizeWithPadOrCrop((SIZE_PX, SIZE_PX, N_SLICES))
    half = N_SLICES // 2
    return lambda path: crop(resample(orient(load(path))[..., MIDDLE - half : MIDDLE + half + 1]))[0].numpy()


def torchio_from_file():
    import torchio as tio

    half = N_SLICES // 2
    orient, crop = tio.ToCanonical(), tio.CropOrPad((SIZE_PX, SIZE_PX, N_SLICES))
    slab = tio.Crop((0, 0, 0, 0, MIDDLE - half, N_VOLUME_SLICES - MIDDLE - half - 1))
    resample = tio.Resample((PITCH_MM, PITCH_MM, THICKNESS_MM), image_interpolation="linear")
    return lambda path: crop(resample(slab(orient(tio.ScalarImage(path))))).numpy()[0]


def simpleitk_from_file():
    import SimpleITK as sitk  # noqa: N813

    half = N_SLICES // 2
    resample = sitk.ResampleImageFilter()
    resample.SetInterpolator(sitk.sitkLinear)
    resample.SetSize((SIZE_PX, SIZE_PX, N_SLICES))
    resample.SetOutputSpacing((PITCH_MM, PITCH_MM, THICKNESS_MM))

    def run(path):
        image = sitk.DICOMOrient(sitk.ReadImage(str(path), sitk.sitkFloat32), "LPS")
        image = image[:, :, MIDDLE - half : MIDDLE + half + 1]
        image.SetDirection(np.eye(3).ravel())
        return sitk.GetArrayFromImage(_crop_with(resample, image))

    return run


def decompress():
    from isal import isal_zlib

    def run(path):
        side = int(Path(path).name.split("-")[0])
        needed = 352 + 2 * side**2 * (MIDDLE + N_SLICES // 2 + 1)
        isal_zlib.decompressobj(31).decompress(Path(path).read_bytes(), needed)

    return run


FROM_FILES = {
    "ours, bicubic, antialiased": ours_from_file,
    "MONAI, linear": monai_from_file,
    "TorchIO, linear": torchio_from_file,
    "SimpleITK, linear": simpleitk_from_file,
    "decompression of slices": decompress,
}


def write_volume(folder, side):
    """Write a volume like that of a head as compressed NIfTI, in the orientation that most converters write."""
    import nibabel as nib

    volume = np.tile(example_stack(side)[0], (N_VOLUME_SLICES, 1, 1)).transpose(1, 2, 0).astype(np.int16)
    volume += np.random.default_rng(1).integers(0, 40, volume.shape, dtype=np.int16)
    affine = np.diag([-FOV_MM / side, FOV_MM / side, THICKNESS_MM, 1.0])
    image = nib.Nifti1Image(volume, affine)
    image.header.set_xyzt_units("mm")
    path = Path(folder) / f"{side}-px.nii.gz"
    with gzip.open(path, "wb", compresslevel=6) as file:
        file.write(image.to_bytes())
    return path


def report(workers, lower_bound, title):
    """Print a table of one comparison; each ratio is the time of an implementation divided by ours."""
    name_of_ours = next(iter(workers))
    mine = workers[name_of_ours].median(0)
    print(f"\n{title}")
    print(f"{'':26} {'median':>9} {'over ours':>10} {'memory':>9}")
    for name, worker in workers.items():
        time = worker.median(0)
        print(f"{name:26} {1000 * time:6.1f} ms {time / mine:9.2f}x {1024 * worker.grown_gib:5.0f} MiB")
    print(f"the lower bound is {workers[lower_bound].median(0) / mine:.0%} of our time")


def compare_values(side):
    """Print how much our linear values differ from those of SimpleITK, inside the image."""
    stack = example_stack(side)
    peer, mine = simpleitk("sitkLinear")(stack), ours("bilinear", antialias=False)(stack)
    difference = np.abs(peer - mine).max() / np.ptp(stack)
    print(f"{side} px: bilinear values differ from those of SimpleITK by at most {difference:.1e} of the range")
    if side <= SIZE_PX:
        peer, mine = simpleitk("sitkBSpline")(stack), ours(antialias=False)(stack)
        spread = np.sqrt(np.mean((peer - mine) ** 2)) / np.ptp(stack)
        print(f"{side} px: bicubic values differ from the B-spline of SimpleITK by {spread:.1e} of the range (rms)")


def main():
    """Run the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="counted runs of each implementation (15)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--side", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker and options.path:
        run = FROM_FILES[options.worker]()
        work([lambda: run(options.path)])
        return
    if options.worker:
        run, stack = FROM_ARRAYS[options.worker](), example_stack(options.side)
        work([lambda: run(stack)])
        return
    print(machine())
    script = str(Path(__file__).resolve())
    for side in (256, 512, 1024):
        workers = run_alternately(script, dict.fromkeys(FROM_ARRAYS, 1), ["--side", side], n_rounds=options.rounds)
        report(workers, "copy of input and output", f"Arrays: nine slices of {side} x {side} px")
        compare_values(side)
    with tempfile.TemporaryDirectory() as folder:
        for side in (256, 512, 1024):
            path = write_volume(folder, side)
            workers = run_alternately(script, dict.fromkeys(FROM_FILES, 1), ["--path", path], n_rounds=options.rounds)
            title = (
                f"Files: nine of {N_VOLUME_SLICES} slices of {side} x {side} px, {path.stat().st_size / 2**20:.1f} MiB"
            )
            report(workers, "decompression of slices", title)


if __name__ == "__main__":
    sys.exit(main())
