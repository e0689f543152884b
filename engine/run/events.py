"""TensorBoard's event files: the graph without its weights, the settings as a table, losses and pictures."""

import contextlib
import json
import os
import re
import socket
import time

from common.errors import UserError
from common.tf1 import tf, tf2

EVENT_FILE_PATTERN = r'events\.out\.tfevents\.\d+\..+'  # of an event file


class EventWriter:
    """Writes an event file, as `tf.summary.FileWriter` does, but by the calling thread: what fails is known at once.

    Raises `UserError` where the file cannot be made or written.
    """

    def __init__(self, folder, graph, settings, step):
        """Of the summaries after `step`; graph: a tf.Graph; settings: name -> value."""
        self.folder = folder
        path = folder / (f'events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.'
                         f'{time.monotonic_ns()}')
        with self._user_errors():
            self._records = tf.io.TFRecordWriter(str(path))
        self._add(file_version='brain.Event:2')
        # makes TensorBoard drop the summaries after `step` that it has seen
        self._add(session_log=tf.SessionLog(status=tf.SessionLog.START), step=step + 1)
        self._add(graph_def=strip_weights(graph).SerializeToString())
        self.add_summary(_settings_summary(settings), step)
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        with self._user_errors():
            self._records.close()

    def add_summary(self, summary, step):
        """Add a tf.Summary, or the bytes of one, of iteration `step`."""
        self._add(summary=tf.Summary.FromString(summary) if isinstance(summary, bytes) else summary, step=step)

    def flush(self):
        """Have on disk what was added."""
        with self._user_errors():
            self._records.flush()

    def _add(self, **what):
        with self._user_errors():
            self._records.write(tf.Event(wall_time=time.time(), **what).SerializeToString())

    @contextlib.contextmanager
    def _user_errors(self):
        """Within it TensorFlow's errors with the file become a `UserError`."""
        try:
            yield
        except tf.errors.OpError as error:
            reason = error.message.rpartition('; ')[2]
            raise UserError(f'{self.folder}: the event file cannot be written: {reason}') from error


def image_summary(jpeg):
    """The summary of an encoded picture."""
    image = tf.Summary.Image(colorspace=3, encoded_image_string=jpeg)
    return tf.Summary(value=[tf.Summary.Value(tag='picture', image=image)])


def _settings_summary(settings):
    """The settings as TensorBoard shows them under Text."""
    rows = ['| setting | value |', '| --- | --- |',
            *(f'| {name} | {abbreviate(value)} |' for name, value in settings.items())]
    about = tf.SummaryMetadata(plugin_data=tf.SummaryMetadata.PluginData(plugin_name='text'))
    text = tf2.make_tensor_proto(['\n'.join(rows).encode()])
    return tf.Summary(value=[tf.Summary.Value(tag='settings', metadata=about, tensor=text)])


def abbreviate(value):
    """A setting as text, a hash by its first digits."""
    text = json.dumps(value, ensure_ascii=False).strip('"')
    return text[:8] if re.fullmatch('[0-9a-f]{64}', text) else text


def strip_weights(graph):
    """The GraphDef of `graph`, the values of its large constants left out: their shapes are all TensorBoard shows."""
    graph_def = graph.as_graph_def()
    for node in graph_def.node:
        if node.op == 'Const' and node.attr['value'].tensor.ByteSize() > 1024:
            node.attr['value'].tensor.ClearField('tensor_content')
    return graph_def
