"""TensorBoard's event files: the graph without its weights, the settings as a table, losses and pictures."""

import json
import re

from engine import quiet  # before tensorflow
import tensorflow
import tensorflow.compat.v1 as tf


def writer(folder, graph, settings, step):
    """A writer of the summaries after `step`, with the graph and the settings, name -> value.

    A session log START makes TensorBoard drop the summaries after `step` that it has seen.
    """
    writer = tf.summary.FileWriter(str(folder))
    writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), global_step=step + 1)
    writer.add_graph(None, graph_def=without_weights(graph))
    writer.add_summary(_table(settings), step)
    return writer


def picture(jpeg):
    """The summary of an encoded picture."""
    image = tf.Summary.Image(colorspace=3, encoded_image_string=jpeg)
    return tf.Summary(value=[tf.Summary.Value(tag='picture', image=image)])


def _table(settings):
    """The settings as TensorBoard shows them under Text."""
    rows = ['| setting | value |', '| --- | --- |', *(f'| {name} | {short(value)} |' for name, value in settings.items())]
    about = tf.SummaryMetadata(plugin_data=tf.SummaryMetadata.PluginData(plugin_name='text'))
    text = tensorflow.make_tensor_proto(['\n'.join(rows).encode()])
    return tf.Summary(value=[tf.Summary.Value(tag='settings', metadata=about, tensor=text)])


def short(value):
    """A setting as text, a hash by its first digits."""
    text = json.dumps(value, ensure_ascii=False).strip('"')
    return text[:8] if re.fullmatch('[0-9a-f]{64}', text) else text


def without_weights(graph):
    """The GraphDef of `graph` with the values of its large constants left out: their shapes are all TensorBoard shows."""
    graph_def = graph.as_graph_def()
    for node in graph_def.node:
        if node.op == 'Const' and node.attr['value'].tensor.ByteSize() > 1024:
            node.attr['value'].tensor.ClearField('tensor_content')
    return graph_def
