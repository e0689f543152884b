"""The Apache Beam pipeline: photos of globs, named, spread over the workers, stylized; the bad ones in a list."""

import errno
import tempfile
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from common import errors
from fast.beam import remote
from fast.commands import stylize
from fast.inference import models, style_spec

OUTCOMES = MADE, THERE, FAILED = 'made', 'already there', 'failed'  # of a photo; also the names of the metrics


def build(pipeline, globs, out, args):
    """Apply to `pipeline` what stylizes the photos of `globs` into the folder `out`.

    args: the flags of `stylize.renderer_from_flags`
    """
    _ = (pipeline
         | 'globs' >> beam.Create(globs)  # which spreads them
         | 'photos' >> beam.FlatMap(lambda glob: (remote.keyed_photo(glob, path)
                                                  for path in remote.photos(FileSystems, glob, out)))
         | 'spread photos' >> beam.GroupByKey()
         | 'stylize' >> beam.ParDo(Stylize(args, out))
         | 'all failures' >> beam.GroupBy(lambda line: None)
         | 'list failures' >> beam.Map(lambda group: remote.write(FileSystems, failure_list(out, args),
                                                                  '\n'.join([*group[1], '']).encode())))


def failure_list(out, args):
    """The path of the list of photos that could not be stylized: path, tab, reason."""
    return f'{out}/{style_spec.slug(args.style)}-failed.txt'


class Stylize(beam.DoFn):
    """From all photos of a key, pairs (path, place), to lines about those that could not be stylized.

    Model and paintings travel with it: a worker needs the project's code, and none of the files of who began the
    pipeline.
    """

    def __init__(self, args, out):
        folder = stylize.model_folder(args)
        self.threads, self.settings = args.threads, stylize.renderer_settings(args, folder)
        self.out, self.name = out, style_spec.slug(args.style)
        self.model = {file: (folder / file).read_bytes() for file in (models.MODEL_JSON, models.LITERT_FILE)}
        self.shared = Shared()
        self.counts = {outcome: Metrics.counter('stylize', outcome) for outcome in OUTCOMES}

    def setup(self):
        """Load the model, once a process: its threads share it."""
        self.renderer = self.shared.acquire(self._renderer)

    def _renderer(self):
        with tempfile.TemporaryDirectory() as folder:
            for file, content in self.model.items():
                Path(folder, file).write_bytes(content)
            return stylize.make_renderer(Path(folder), self.threads, self.settings)

    def process(self, group):
        """Yield lines: path, tab, reason."""
        pairs = list(group[1])
        try:
            targets = remote.plan_outputs(pairs, self.out, self.name)
        except errors.UserError as error:
            yield from (self._failed(path, error) for path, _ in pairs)
            return
        for target, source in targets.items():
            try:
                made = remote.stylize(self.renderer, FileSystems, source, target)
                self.counts[MADE if made else THERE].inc()
            except Exception as error:
                if getattr(error, 'errno', None) == errno.ENOSPC:  # the next one would not fit either
                    raise
                yield self._failed(source, error)

    def _failed(self, path, error):
        reason = errors.describe(error)
        if not reason:
            raise error
        self.counts[FAILED].inc()
        return f'{path}\t{reason}'
