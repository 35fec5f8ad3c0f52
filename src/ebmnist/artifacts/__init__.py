"""Artifacts: numbers → files. The only room that writes any, each of them whole or not at all."""

from ebmnist.artifacts.atomic import check_writable, new_folder, write_file
from ebmnist.artifacts.checkpoint import Checkpoint, fingerprint, latest_checkpoint, load_checkpoint, save_checkpoint
from ebmnist.artifacts.images import write_images
from ebmnist.artifacts.place import default_path
from ebmnist.artifacts.records import Event
from ebmnist.artifacts.run import RunFolder
from ebmnist.artifacts.tensorboard import TensorBoard, check_tensorboard

__all__ = [
    "Checkpoint",
    "Event",
    "RunFolder",
    "TensorBoard",
    "check_tensorboard",
    "check_writable",
    "default_path",
    "fingerprint",
    "latest_checkpoint",
    "load_checkpoint",
    "new_folder",
    "save_checkpoint",
    "write_file",
    "write_images",
]
