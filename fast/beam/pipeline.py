"""The Apache Beam pipeline: find photos, distribute them over the workers, stylize them and list the failures."""

import errno
import tempfile
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from common import errors
from fast.beam import remote
from fast.commands import stylize
from fast.inference import models, style_spec

OUTCOMES = MADE, THERE, FAILED = 'made', 'already there', 'failed'  # outcomes of a photo and names of their metrics


def build(pipeline: beam.Pipeline, globs: Iterable[str], out: str, args) -> None:
    """Add all steps to a pipeline: find the photos, stylize them, write the list of failures.

    Args:
        pipeline: an empty pipeline.
        globs: patterns of the photos, from `remote.glob`.
        out: folder for the pictures.
        args: parsed flags that `stylize.renderer_from_flags` uses.
    """
    _ = (pipeline
         | 'globs' >> beam.Create(globs)  # Create also distributes the patterns over the workers.
         | 'photos' >> beam.FlatMap(lambda glob: (remote.keyed_photo(glob, path)
                                                  for path in remote.photos(FileSystems, glob, out)))
         | 'spread photos' >> beam.GroupByKey()
         | 'stylize' >> beam.ParDo(Stylize(args, out))
         | 'all failures' >> beam.GroupBy(lambda line: None)
         | 'list failures' >> beam.Map(lambda group: remote.write(FileSystems, failure_list(out, args),
                                                                  '\n'.join([*group[1], '']).encode())))


def failure_list(out: str, args) -> str:
    """Return the path of the list of photos that could not be stylized; a line is a path, a tab and the reason."""
    return f'{out}/{style_spec.slug(args.style)}-failed.txt'


class Stylize(beam.DoFn):
    """Beam function that stylizes the photos of one key and yields a line for each photo that fails.

    Its input is (key, pairs (path, relative path)), as `remote.keyed_photo` makes them. The model and the paintings are
    part of the pickled object, so a worker needs the project's code but no files of the machine that started the
    pipeline.
    """

    def __init__(self, args, out: str):
        """Read the model and the paintings that the flags `args` name; `out` is the folder for the pictures."""
        model = stylize.find_model(args)
        self.threads, self.settings = args.threads, stylize.renderer_settings(args, model)
        self.out, self.name = out, style_spec.slug(args.style)
        self.model = {file: (model.folder / file).read_bytes() for file in (models.MODEL_JSON, models.LITERT_FILE)}
        self.shared = Shared()
        self.counts = {outcome: Metrics.counter('stylize', outcome) for outcome in OUTCOMES}

    def setup(self) -> None:
        """Load the model once for each worker process; the threads of a process share it."""
        self.renderer = self.shared.acquire(self._renderer)

    def _renderer(self):
        """Create the renderer from the files of the model in memory."""
        with tempfile.TemporaryDirectory() as folder:
            for file, content in self.model.items():
                Path(folder, file).write_bytes(content)
            return stylize.make_renderer(models.load(Path(folder)), self.threads, self.settings)

    # `process` has no type hints, because Beam would check the elements of the pipeline against them.
    def process(self, group):
        """Stylize the photos of a key; yield path, tab and reason for each photo that could not be stylized."""
        pairs = list(group[1])
        try:
            targets = remote.plan_outputs(pairs, self.out, self.name)
        except errors.UserError as error:
            yield from (self._failed(path, error) for path, _ in pairs)
            return
        for target, source in targets.items():
            try:
                written = remote.stylize(self.renderer, FileSystems, source, target)
                self.counts[MADE if written else THERE].inc()
            except Exception as error:
                if getattr(error, 'errno', None) == errno.ENOSPC:  # The disk is full, so all others would fail too.
                    raise
                yield self._failed(source, error)

    def _failed(self, path, error):
        """Count a failure and return its line for the list; raise `error` again if it is a bug of the program."""
        reason = errors.describe(error)
        if not reason:
            raise error
        self.counts[FAILED].inc()
        return f'{path}\t{reason}'
