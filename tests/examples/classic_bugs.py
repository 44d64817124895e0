"""The five classic bugs, each alone in a pipeline that is right otherwise."""

import json

from corrected import Pipeline, status_of, text_of


class AssumesOrder(Pipeline):
    """Takes the results to be in the order of the lines."""

    def run(self, lines):
        results = list(self.results(self.wait(self.create(self.upload(lines)))))
        return [text_of(result) if status_of(result) == 200 else None for result in results]


class IgnoresTheErrorFile(Pipeline):
    """Reads the output file only, and takes it for complete."""

    def run(self, lines):
        batch = self.wait(self.create(self.upload(lines)))
        answers = {each["custom_id"]: text_of(each) for each in self.read(batch.output_file_id)}
        return [answers[line["custom_id"]] for line in lines]


class TakesExpiredForNothing(Pipeline):
    """Throws away what had run when the batch expired, and sends all of it again."""

    def results(self, batch):
        return super().results(batch) if batch.status == "completed" else ()


class CreatesTwice(Pipeline):
    """Lets the client retry a creation that was not answered."""

    def create(self, file):
        return self.client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
        )


class LoadsAllInMemory(Pipeline):
    """Reads a result file in one piece."""

    def read(self, file_id):
        return map(json.loads, self.client.files.content(file_id).text.splitlines())
