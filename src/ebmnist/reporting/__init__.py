"""Reporting: numbers → files. The only package that writes files, each whole or not at all."""

from ebmnist.reporting.atomic import check_writable, new_folder, write_file
from ebmnist.reporting.checkpoint import Checkpoint, fingerprint, latest_checkpoint, load_checkpoint, save_checkpoint
from ebmnist.reporting.images import write_images
from ebmnist.reporting.place import default_path
from ebmnist.reporting.records import JournalEntry
from ebmnist.reporting.run import RunFolder
from ebmnist.reporting.tensorboard import TensorBoard, check_tensorboard

__all__ = [
    "Checkpoint",
    "JournalEntry",
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
