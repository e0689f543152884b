"""Write TensorBoard's event files: losses, pictures, the graph without its weights, and the settings as a table."""

import contextlib
import json
import os
import re
import socket
import time
from pathlib import Path

from common.errors import UserError
from common.tf1 import tf, tf2

EVENT_FILE_PATTERN = r'events\.out\.tfevents\.\d+\..+'  # regular expression of an event file's name


class EventWriter:
    """A context manager that writes an event file.

    Unlike `tf.summary.FileWriter` it writes in the calling thread, so that errors are raised at once.

    Args:
        folder: Existing folder of the event file.
        graph: The graph to show.
        settings: name -> value, shown as a table.
        step: Iteration that the run resumes from; the summaries that follow are of later iterations.

    Raises:
        UserError: The file cannot be created or written; all methods raise this.
    """

    def __init__(self, folder: Path, graph: tf.Graph, settings: dict, step: int):
        self.folder = folder
        path = folder / (f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.'
                         f'{time.monotonic_ns()}')
        with self._user_errors():
            self._records = tf.io.TFRecordWriter(str(path))
        self._add(file_version='brain.Event:2')
        # This event makes TensorBoard drop the summaries after `step` that it has already read.
        self._add(session_log=tf.SessionLog(status=tf.SessionLog.START), step=step + 1)
        self._add(graph_def=strip_weights(graph).SerializeToString())
        self.add_summary(_settings_summary(settings), step)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        with self._user_errors():
            self._records.close()

    def add_summary(self, summary: tf.Summary | bytes, step: int) -> None:
        """Add a summary of iteration `step`, as a message or serialized."""
        self._add(summary=tf.Summary.FromString(summary) if isinstance(summary, bytes) else summary, step=step)

    def flush(self) -> None:
        """Write everything that was added so far to disk."""
        with self._user_errors():
            self._records.flush()

    def _add(self, **fields):
        """Write an event with these fields and the current time."""
        with self._user_errors():
            self._records.write(tf.Event(wall_time=time.time(), **fields).SerializeToString())

    @contextlib.contextmanager
    def _user_errors(self):
        """Convert TensorFlow's file errors to `UserError` within a `with` block."""
        try:
            yield
        except tf.errors.OpError as error:
            reason = error.message.rpartition('; ')[2]
            raise UserError(f'{self.folder}: the event file cannot be written: {reason}') from error


def image_summary(jpeg: bytes) -> tf.Summary:
    """Return the summary of a picture that is encoded as JPEG."""
    image = tf.Summary.Image(colorspace=3, encoded_image_string=jpeg)
    return tf.Summary(value=[tf.Summary.Value(tag='picture', image=image)])


def _settings_summary(settings):
    """Return the summary that shows the settings as a table on TensorBoard's Text tab."""
    rows = ['| setting | value |', '| --- | --- |',
            *(f'| {name} | {abbreviate(value)} |' for name, value in settings.items())]
    about = tf.SummaryMetadata(plugin_data=tf.SummaryMetadata.PluginData(plugin_name='text'))
    text = tf2.make_tensor_proto(['\n'.join(rows).encode()])
    return tf.Summary(value=[tf.Summary.Value(tag='settings', metadata=about, tensor=text)])


def abbreviate(value) -> str:
    """Return the value of a setting as text; a SHA-256 is shortened to its first eight digits."""
    text = json.dumps(value, ensure_ascii=False).strip('"')
    return text[:8] if re.fullmatch('[0-9a-f]{64}', text) else text


def strip_weights(graph: tf.Graph) -> tf.GraphDef:
    """Return the GraphDef of a graph without the values of its large constants (more than 1024 bytes).

    TensorBoard shows only the shapes of constants.
    """
    graph_def = graph.as_graph_def()
    for node in graph_def.node:
        if node.op == 'Const' and node.attr['value'].tensor.ByteSize() > 1024:
            node.attr['value'].tensor.ClearField('tensor_content')
    return graph_def
